"""Agents from configuration: a run directory, an agent file, an endpoint or code, with models in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, cast

from alpha_umi.agent import MultiAgent, OnNoDecision, RoleModel, SingleAgent
from alpha_umi.caution import CautiousAgent
from alpha_umi.config import (
    AgentConfig,
    EndpointConfig,
    LocalConfig,
    RolesConfig,
    SamplingsConfig,
    load_config,
    make_config,
    read_toml,
)
from alpha_umi.errors import CheckpointError, ConfigError
from alpha_umi.formats.chat_templates import ChatUse
from alpha_umi.formats.fit import Window
from alpha_umi.formats.native import NativeFormat
from alpha_umi.formats.optional_roles import with_optional_roles
from alpha_umi.grounding import GroundedAgent
from alpha_umi.loading.bundled import check_format, check_weights, find_run, read_provenance
from alpha_umi.loading.code import make
from alpha_umi.loading.formats import open_format
from alpha_umi.loading.models import ClosableModel, open_models
from alpha_umi.loading.pretrained import check_chat, find_model
from alpha_umi.protocols import Agent, Format
from alpha_umi.roles import AGENT_ROLES
from alpha_umi.search import ModelRanker, Ranker
from alpha_umi.types import Role

AGENT_FILE = "umi.toml"
REPETITION_LIMIT = 16
"""Of small models of general training: no run of so many tokens is written twice in a completion."""
SHORT_TURNS = SamplingsConfig.model_validate(
    {
        "repetition_limit": REPETITION_LIMIT,
        "max_tokens": 256,
        "planner": {"max_tokens": 96},
        "summarizer": {"max_tokens": 192},
    }
)
"""Of models without training in the roles: a thought is a sentence; without a bound it takes all that it gets."""
_OF_MESSAGES = ("chat", "zero-shot")
"""Formats of three roles whose prompts are chat messages."""


class AgentKind(StrEnum):
    """Kind of agent: three role models, or one backbone that plays them all."""

    MULTI = "multi"
    SINGLE = "single"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedAgent:
    """Agent with its models in memory; an async context manager that releases them."""

    agent: Agent
    format: Format | None = None
    """None: an agent that is code."""
    models: tuple[ClosableModel, ...] = ()
    role_models: Mapping[Role, RoleModel] = field(default_factory=dict[Role, RoleModel])
    """The models of its roles, and the backbone where that takes no memory of its own; none for an agent that is code.
    """
    ranker: Ranker | None = None
    """Its planner, or its backbone, as a judge of continuations; None where it does not read chat messages."""

    async def __aenter__(self) -> LoadedAgent:
        return self

    async def __aexit__(self, *_: object) -> None:
        for model in self.models:
            await model.aclose()


def read_agent(path: Path) -> AgentConfig:
    """Read an agent: of a run directory, of a TOML file that names checkpoints and a format, or a bundled one by name.

    Raises CheckpointError for one that is not there, that does not fit this package, or that is not safe to load.
    """
    path = find_run(path)
    if path.is_file():
        return load_config(AgentConfig, path)
    if not (path / AGENT_FILE).exists():
        raise CheckpointError(
            f"{path}: holds no {AGENT_FILE}, so its format is not known (an unfinished run has none yet); "
            "finish it with 'umi train --resume', or write a TOML file with 'format' and [roles.planner] model = ..., "
            "and name that"
        )
    noted = read_provenance(path)
    document = {**read_toml(path / AGENT_FILE), **noted}
    config = make_config(AgentConfig, document, source=str(path / AGENT_FILE)).rebased(path.absolute())
    if any(isinstance(each := config.roles.get(role), LocalConfig) and each.trust_remote_code for role in Role):
        raise CheckpointError(
            f"{path}: its {AGENT_FILE} asks for trust_remote_code, which a run directory may not choose; read the "
            "code, then name the agent by a TOML file of your own, or set the option"
        )
    check_weights(path, config)
    if config.provenance is not None:
        check_format(config.provenance, open_format(config.format))
    return config


def open_agent(
    config: AgentConfig, kind: AgentKind | None = None, on_no_decision: OnNoDecision = OnNoDecision.PLANNER
) -> LoadedAgent:
    """Load the agent that `config` names. `kind` None: role models where there are three, else the backbone."""
    kind = kind or (AgentKind.MULTI if config.roles.is_multi else AgentKind.SINGLE)
    form = open_format(config.format)
    if kind is AgentKind.MULTI and config.roles.optional:
        form = with_optional_roles(form, config.roles.optional)
    roles = (*AGENT_ROLES, *config.roles.optional) if kind is AgentKind.MULTI else (Role.BACKBONE,)
    chosen: dict[Role, LocalConfig | EndpointConfig] = {}
    for role in roles:
        named = config.roles.get(role)
        if named is None:
            raise ConfigError(f"the agent names no {role.value}; it cannot play with {kind.value} model(s)")
        if config.constrained and isinstance(named, EndpointConfig) and named.grammar is None:
            raise ConfigError(
                f"the {role.value} is to be constrained to a grammar, but the endpoint {named.base_url} takes none "
                "that is known; say which by 'grammar' (structured_outputs, guided_grammar, llguidance, ebnf), or set "
                "constrained = false"
            )
        chosen[role] = named
    if isinstance(form, NativeFormat) and Role.BACKBONE not in chosen:
        raise ConfigError(f"format {config.format!r} is for one model that does all; name [roles.backbone] alone")
    if _shares_weights(config.roles.get(Role.BACKBONE), chosen):
        chosen[Role.BACKBONE] = cast("LocalConfig", config.roles.get(Role.BACKBONE))
    models = open_models(chosen, form)
    own = {role: _role_model(models[role], role, config) for role in chosen}
    role_models = {role: own[role] for role in roles}
    agent: Agent
    if kind is AgentKind.MULTI:
        agent = MultiAgent(role_models=role_models, format=form, on_no_decision=on_no_decision)
        agent = GroundedAgent(drafter=agent) if config.grounded else agent
    else:
        agent = SingleAgent(backbone=role_models[Role.BACKBONE], format=form)
    agent = agent if config.threshold is None else CautiousAgent(drafter=agent, threshold=config.threshold)
    ranker = (
        ModelRanker(model=models[roles[0]]) if isinstance(form, NativeFormat) or form.name in _OF_MESSAGES else None
    )
    distinct = tuple(dict.fromkeys(models.values()))
    return LoadedAgent(agent=agent, format=form, models=distinct, role_models=own, ranker=ranker)


def _shares_weights(
    backbone: LocalConfig | EndpointConfig | None, chosen: Mapping[Role, LocalConfig | EndpointConfig]
) -> bool:
    """Return True for a backbone that is the very model under the adapters of the roles."""
    if not isinstance(backbone, LocalConfig) or backbone.adapter is not None:
        return False
    return any(
        isinstance(each, LocalConfig) and each.model_copy(update={"adapter": None}) == backbone and each.adapter
        for each in chosen.values()
    )


def is_coded(name: str) -> bool:
    """Return True for the name of a coded agent: `oracle`, or `module:attribute` where no such file is there."""
    return name == "oracle" or (":" in name and not Path(name).exists())


def open_coded_agent(name: str) -> LoadedAgent:
    """Open a coded agent: `oracle` (of the sealed world), or an object or function `module:attribute`.

    Raises ConfigError where there is none of that name.
    """
    if name == "oracle":
        from alpha_umi.world.oracle_agent import OracleAgent

        return LoadedAgent(agent=OracleAgent())
    known = "name a run directory, an agent file, oracle or module:attribute"
    return LoadedAgent(agent=make(name, "agent", Agent, f"'propose'; {known}"))


def instruct_agent(
    model: str,
    base_url: str | None = None,
    concurrency: int | None = None,
    *,
    native: bool = False,
    template: Mapping[str, Any] | None = None,
) -> AgentConfig:
    """Make an untrained agent of one instruct model, behind an endpoint where an address is given, else run here."""
    if base_url is None:
        return pretrained_agent(model, native=native, template=template)
    return endpoint_agent(base_url, model, concurrency, native=native, template=template)


def endpoint_agent(
    base_url: str,
    model: str,
    concurrency: int | None = None,
    *,
    native: bool = False,
    template: Mapping[str, Any] | None = None,
) -> AgentConfig:
    """Make an untrained agent of one instruct model behind an endpoint: three roles, or native function calling.

    `template`: variables of its chat template, sent as vLLM and llama.cpp take them.
    """
    extra = {"chat_template_kwargs": dict(template)} if template else {}
    role = EndpointConfig(base_url=base_url, model=model, extra=extra)
    if concurrency is not None:
        role = role.model_copy(update={"concurrency": concurrency})
    if native:
        return AgentConfig(format="native", roles=RolesConfig.model_validate({"backbone": role}))
    return AgentConfig(format="chat", roles=RolesConfig.model_validate({each.value: role for each in AGENT_ROLES}))


def pretrained_agent(model: str, *, native: bool = False, template: Mapping[str, Any] | None = None) -> AgentConfig:
    """Make an untrained agent of one instruct model that runs here: three roles, or native function calling.

    `template`: variables of its chat template. Raises CheckpointError where there is no such model on this machine, or
    it has no chat template.
    """
    settings = dict(template or {})
    found = find_model(model)
    check_chat(found, ChatUse(messages=True, tools=native, settings=settings))
    role = LocalConfig(model=found, chat_template_kwargs=settings)
    if native:
        return AgentConfig(format="native", roles=RolesConfig.model_validate({"backbone": role}))
    roles = RolesConfig.model_validate({each.value: role for each in (*AGENT_ROLES, Role.BACKBONE)})
    # Small models go round in circles, and know no call by themselves; a grammar costs nothing here.
    if settings.get("enable_thinking"):  # which takes more than a sentence
        form, sampling = "chat", SamplingsConfig(repetition_limit=REPETITION_LIMIT)
    else:
        form, sampling = "zero-shot", SHORT_TURNS
    return AgentConfig(format=form, roles=roles, sampling=sampling, constrained=True)


def _role_model(model: ClosableModel, role: Role, config: AgentConfig) -> RoleModel:
    sampling = config.sampling.of(role)
    window = _window(model, config.max_input_tokens, sampling.max_tokens)
    return RoleModel(model=model, sampling=sampling, window=window, constrained=config.constrained)


class _Counting(Protocol):
    context: int | None

    def count_tokens(self, prompt: object) -> int: ...


def _window(model: ClosableModel, limit: int | None, max_tokens: int) -> Window | None:
    """Context window of a role's prompt: as configured, else the model's context less the reply."""
    if not hasattr(model, "count_tokens"):
        return None
    counting = cast("_Counting", model)
    if limit is None and counting.context is not None:
        limit = max(counting.context - max_tokens, 1)
    return None if limit is None else Window(limit=limit, count=counting.count_tokens)

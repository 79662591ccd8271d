"""Configuration of an agent: the `umi.toml` of a run directory, or a file written by hand."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, cast

from pydantic import Discriminator, Field, PositiveInt, Tag, model_validator

from alpha_umi.config.tables import Table, file_path, format_name, keyed_by_role, model_or_hub_id
from alpha_umi.roles import AGENT_ROLES, OPTIONAL_ROLES
from alpha_umi.types import Role, Sampling

GrammarField = Literal["structured_outputs", "guided_grammar", "llguidance", "ebnf"]
Dtype = Literal["auto", "float32", "float16", "bfloat16"]


class LocalConfig(Table):
    """Local model, run in this process."""

    type: Literal["local"] = "local"
    model: str
    """A folder with Hugging Face weights, a GGUF file, a hub id, or a name of `loading.pretrained`."""
    adapter: str | None = None
    """A folder with a PEFT LoRA on top of `model`."""
    merged_adapter: str | None = None
    """A folder with a plain LoRA that is merged into `model` at loading, under `adapter`: the backbone of roles that
    are adapters, kept as small as they are."""
    dtype: Dtype = "auto"
    """auto: as stored on an accelerator, float32 on a CPU. With bfloat16 a CPU with AVX512 computes steps of few tokens
    with the matrices of 4 and 8 bits of a GGUF file as they are stored."""
    device: str = "auto"
    cache_gb: float | None = Field(default=None, gt=0)
    """Memory for keys and values; none: a part of what is free."""
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Variables of the model's chat template, such as `enable_thinking = false`."""
    trust_remote_code: bool = False
    """True: run Python code that the checkpoint brings. For agent files alone: a run directory cannot set it."""

    def rebased(self, folder: Path) -> typing.Self:
        adapters = {name: getattr(self, name) for name in ("adapter", "merged_adapter")}
        paths = {name: None if path is None else file_path(path, folder) for name, path in adapters.items()}
        return self.model_copy(update={"model": model_or_hub_id(self.model, folder), **paths})

    @property
    def folders(self) -> tuple[str, ...]:
        """Model, merged adapter and adapter, those that it has."""
        return tuple(name for name in (self.model, self.merged_adapter, self.adapter) if name is not None)


class PrefillConfig(Table):
    """Request that is sent before each completion: the prompt without its end, so that the server has it in its cache.

    For activated adapters on llama.cpp's server, which then act on the end alone, as they were trained.
    """

    without: str
    """End of the prompt that is left out; a prompt without this end gets no such request."""
    extra: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Fields of that request in place of the completion's, such as `lora`."""


class EndpointConfig(Table):
    """Model behind an OpenAI-compatible endpoint."""

    type: Literal["endpoint"] = "endpoint"
    base_url: str
    model: str
    api: Literal["auto", "chat", "completions"] = "auto"
    """auto: what the format writes goes to the endpoint that takes it."""
    key_env: str = "OPENAI_API_KEY"
    """The environment variable that holds the key; may be unset for an endpoint that asks for none."""
    concurrency: PositiveInt = 8
    """Concurrent requests."""
    timeout_s: float = Field(default=120.0, gt=0)
    grammar: GrammarField | None = None
    """Endpoint parameter that takes the grammar of constrained agents: `structured_outputs` or (before 0.12)
    `guided_grammar` for vLLM with its backend 'guidance', `llguidance` for llama.cpp built with LLAMA_LLGUIDANCE,
    `ebnf` for SGLang with its backend 'llguidance'; none: it takes none."""
    extra: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Fields added to every request, such as llama.cpp's `lora`."""
    prefill: PrefillConfig | None = None
    """Request before each completion, to the same slot of llama.cpp's server; `concurrency` is then its slots."""


def _kind(value: Any) -> str:
    if not isinstance(value, Mapping):
        return str(getattr(value, "type", "local"))
    table = cast("Mapping[str, Any]", value)
    return str(table.get("type", "endpoint" if "base_url" in table else "local"))


RoleConfig = Annotated[
    Annotated[LocalConfig, Tag("local")] | Annotated[EndpointConfig, Tag("endpoint")], Discriminator(_kind)
]


class RolesConfig(keyed_by_role(Table, RoleConfig)):
    """Models by role: three roles and optional ones, or one backbone for all; a run directory names both."""

    @model_validator(mode="after")
    def _is_an_agent(self) -> typing.Self:
        missing = [role.value for role in AGENT_ROLES if self.get(role) is None]
        if missing and (self.get(Role.BACKBONE) is None or len(missing) < len(AGENT_ROLES)):
            raise ValueError(
                f"planner, caller and summarizer are needed, or backbone alone; missing: {', '.join(missing)}"
            )
        return self

    def get(self, role: Role) -> LocalConfig | EndpointConfig | None:
        return cast("LocalConfig | EndpointConfig | None", getattr(self, role.value))

    @property
    def is_local(self) -> bool:
        """True if any of the models is local."""
        return any(isinstance(self.get(role), LocalConfig) for role in Role)

    @property
    def is_multi(self) -> bool:
        """True if there are three role models."""
        return self.get(Role.PLANNER) is not None

    def trusting(self) -> typing.Self:
        """Same models, with the Python code that their checkpoints bring."""
        local = {role: each for role in Role if isinstance(each := self.get(role), LocalConfig)}
        return self.model_copy(
            update={role.value: each.model_copy(update={"trust_remote_code": True}) for role, each in local.items()}
        )

    @property
    def optional(self) -> tuple[Role, ...]:
        """Configured optional roles, such as a critic."""
        return tuple(role for role in OPTIONAL_ROLES if self.get(role) is not None)


class SamplingConfig(Table):
    """Sampling parameters of a role's model; see types.Sampling."""

    temperature: float = Field(default=0.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: PositiveInt = 512
    stop: tuple[str, ...] = ()
    seed: int | None = None
    top_k: PositiveInt | None = None
    min_p: float | None = Field(default=None, ge=0, le=1)
    repetition_penalty: float = Field(default=1.0, gt=0)
    repetition_limit: PositiveInt | None = None


class SamplingsConfig(keyed_by_role(SamplingConfig, SamplingConfig)):
    """Sampling parameters of all roles; a role's own table takes precedence."""

    def of(self, role: Role) -> Sampling:
        own = cast("SamplingConfig | None", getattr(self, role.value))
        chosen = {name: getattr(self, name) for name in SamplingConfig.model_fields}
        if own is not None:
            chosen |= {name: getattr(own, name) for name in own.model_fields_set}
        return Sampling(**chosen)


class ProvenanceConfig(Table):
    """Provenance of an agent: the format and the world it was trained with (`provenance.json` of its run directory)."""

    agent: str
    """Its name, for messages."""
    format: str
    """The fingerprint of its format; see formats.fingerprint."""
    preset: str
    """The world that it learned in."""
    world: str
    """That world's version."""


class AgentConfig(Table):
    """Configuration of an agent."""

    format: str
    """A format file or a built-in format: `shared`, `chat`, `zero-shot`, or for a backbone alone `native`,
    `native-finish`, `react`; with `@training` or `@evaluation` behind it where its variants matter."""
    roles: RolesConfig
    sampling: SamplingsConfig = SamplingsConfig()
    max_input_tokens: PositiveInt | None = None
    """Prompts longer than this are cut by the rule of formats.fit; none: as long as the model reads."""
    constrained: bool = False
    """Constrained decoding: callers to the offered tools and their schemas, planners to one of their decisions."""
    grounded: bool = False
    """Grounding (`grounding`): calls with values that somebody named, several tools tried, answers held against what
    the tools told. For three roles whose prompts are text and whose plans begin with the tool."""
    threshold: float | None = Field(default=None, ge=0, le=1)
    """Least probability of a call, 0 to 1 (`caution`); the agent gives up rather than make one that is less sure. None:
    every call is made."""
    provenance: ProvenanceConfig | None = None
    """None: unknown; then nothing is checked."""
    trained_tools: tuple[str, ...] | None = None
    """Names of the tools in its training data; None: not known, or so many that it learned to read any description."""
    renamed = MappingProxyType({"held": "constrained", "made": "provenance"})

    def trusting(self) -> typing.Self:
        """Same agent, with the Python code that its checkpoints bring."""
        return self.model_copy(update={"roles": self.roles.trusting()})

    def rebased(self, folder: Path) -> typing.Self:
        return super().rebased(folder).model_copy(update={"format": format_name(self.format, folder)})

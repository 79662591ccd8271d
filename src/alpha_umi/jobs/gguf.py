"""A run as files for llama.cpp: its models and adapters as GGUF, its format, and the agent that speaks to its server.

Roles that are adapters on one model share that model's file and server; every request names its own adapter.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from alpha_umi.config import AgentConfig, EndpointConfig, LocalConfig, PrefillConfig, RolesConfig, resolved
from alpha_umi.errors import ConfigError, FormatError, explain_missing_extra
from alpha_umi.loading.formats import open_stored_format
from alpha_umi.loading.pretrained import find_model
from alpha_umi.output_lock import locks_out
from alpha_umi.protocols import Format
from alpha_umi.store import write_json, write_text
from alpha_umi.types import Role, Task, User

if TYPE_CHECKING:
    from alpha_umi.models.gguf_files import ServedModel

AGENT, FORMAT = "agent.toml", "format.json"
_PORT = 8080
_SLOTS = 4
"""Of a server with activated adapters: its requests at once."""


@dataclass(slots=True, kw_only=True)
class _Server:
    """One base model and the adapters on it."""

    model: str
    file: str
    port: int
    adapters: dict[str, str] = field(default_factory=dict[str, str])
    """Folders and the files they become; llama.cpp numbers adapters in this order."""
    facts: ServedModel | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """Written files, and the command that serves them."""

    files: tuple[Path, ...]
    commands: tuple[str, ...]
    """One for each server."""
    agent: Path


@locks_out
def export_run(agent: AgentConfig, out: Path, *, dtype: str = "auto", adapters_only: bool = False) -> Exported:
    """Write all that llama.cpp needs for `agent` into the folder `out`.

    Raises ConfigError where a role is no model here or gguf is not installed, CheckpointError for a model, tokenizer
    or adapter that llama.cpp would compute otherwise, StorageError when the disk is full.
    """
    roles = _local_roles(agent)
    form = open_stored_format(agent.format)
    servers = _servers(roles)
    with explain_missing_extra("local", "reading models"):
        from alpha_umi.models.gguf_files import served_model, write_adapter, write_model
    files: list[Path] = []
    opening = _opening(form)
    for server in servers.values():
        server.model = find_model(server.model)
        server.facts = served_model(server.model, tuple(server.adapters), opening)
        if not adapters_only:
            write_model(server.model, out / server.file, end=form.end, dtype=dtype)
            files.append(out / server.file)
        for folder, name in server.adapters.items():
            write_adapter(folder, server.model, out / name, opening=server.facts.opening)
            files.append(out / name)
    write_json(out / FORMAT, form.to_document())
    with write_text(out / AGENT) as text:
        text.write(resolved(_agent(agent, roles, servers, form)))
    commands = tuple(_command(server, out, form) for server in servers.values())
    return Exported(files=tuple(files), commands=commands, agent=out / AGENT)


def _local_roles(agent: AgentConfig) -> dict[Role, LocalConfig]:
    named = {role: agent.roles.get(role) for role in (Role.BACKBONE, Role.PLANNER, Role.CALLER, Role.SUMMARIZER)}
    for role, config in named.items():
        if isinstance(config, EndpointConfig):
            raise ConfigError(f"the {role.value} is behind an endpoint, so there is nothing here to export")
        if isinstance(config, LocalConfig) and config.merged_adapter is not None:
            raise ConfigError(
                f"the {role.value} lies on a base into which {config.merged_adapter} is merged at loading; GGUF needs "
                "the merged model: export the run directory that holds it"
            )
    return {role: config for role, config in named.items() if isinstance(config, LocalConfig)}


def _servers(roles: Mapping[Role, LocalConfig]) -> dict[str, _Server]:
    """By the name of the model."""
    alone = len({config.model for config in roles.values()}) == 1
    servers: dict[str, _Server] = {}
    for role, config in roles.items():
        server = servers.get(config.model)
        if server is None:
            name = "model" if alone else role.value
            server = _Server(model=config.model, file=f"{name}.gguf", port=_PORT + len(servers))
            servers[config.model] = server
        if config.adapter is not None:
            server.adapters.setdefault(config.adapter, f"{role.value}.lora.gguf")
    return servers


def _agent(
    agent: AgentConfig, roles: Mapping[Role, LocalConfig], servers: Mapping[str, _Server], form: Format
) -> AgentConfig:
    """The same agent behind the servers that `_command` starts."""
    chosen = {role.value: _endpoint(role, config, servers[config.model], form) for role, config in roles.items()}
    # The end mark, and the tokenizer's own, are written as text where the server shows special tokens.
    ends = [form.end, *(server.facts.end for server in servers.values() if server.facts is not None)]
    stop = dict.fromkeys([*agent.sampling.stop, *(end for end in ends if end and form.special_tokens)])
    sampling = agent.sampling.model_copy(update={"stop": tuple(stop)})
    return agent.model_copy(update={"format": FORMAT, "roles": RolesConfig(**chosen), "sampling": sampling})


def _endpoint(role: Role, config: LocalConfig, server: _Server, form: Format) -> EndpointConfig:
    """The role at its server. Every adapter is named: those that a request leaves out would act with scale 1."""
    base_url, model = f"http://127.0.0.1:{server.port}/v1", Path(server.file).stem
    facts = server.facts
    if not server.adapters or facts is None:
        return EndpointConfig(base_url=base_url, model=model)

    def scales(used: str | None) -> list[dict[str, float]]:
        return [{"id": number, "scale": float(folder == used)} for number, folder in enumerate(server.adapters)]

    # The server's cache does not tell which adapter computed it.
    extra = {"lora": scales(config.adapter), "cache_prompt": False}
    if config.adapter not in facts.prefilled:
        return EndpointConfig(base_url=base_url, model=model, extra=extra)
    return EndpointConfig(
        base_url=base_url,
        model=model,
        concurrency=_SLOTS,
        extra={**extra, "cache_prompt": True},
        prefill=PrefillConfig(without=form.role_token(role), extra={"lora": scales(None), "cache_prompt": False}),
    )


def _opening(form: Format) -> str:
    """Common beginning of two prompts of a format."""
    for role in (Role.PLANNER, Role.BACKBONE):
        try:
            prompts = [form.render(role, Task(id="", query=text), (User(text=text),)) for text in ("a", "b")]
        except FormatError:
            continue
        first, second = prompts
        if not (isinstance(first, str) and isinstance(second, str)):
            return ""
        return "".join(one for one, _ in takewhile(lambda both: both[0] == both[1], zip(first, second, strict=False)))
    return ""


def _command(server: _Server, out: Path, form: Format) -> str:
    words = ["llama-server", "-m", str(out / server.file), "--port", str(server.port)]
    for name in server.adapters.values():
        words += ["--lora", str(out / name)]
    words += ["--lora-init-without-apply"] if server.adapters else []
    if server.facts is not None and server.facts.prefilled:
        words += ["--parallel", str(_SLOTS), "--ctx-size", str(_SLOTS * server.facts.context)]
    words += ["--special"] if form.special_tokens else []
    return shlex.join(words)

"""Configuration of environments: one table per kind; with several, every tool is run in the one that it is from."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from alpha_umi.config.tables import Table, file_path


class WorldConfig(Table):
    """Sealed world, the one that each task names."""


class AccessConfig(Table):
    """Timeout, rate, concurrency and retry limits of requests to a host; see environments.access.AccessLimits."""

    timeout_s: float = Field(default=30.0, gt=0)
    retries: int = Field(default=2, ge=0)
    concurrency: PositiveInt = 16
    """Concurrent requests to one host."""
    per_second: float | None = Field(default=None, gt=0)
    burst: PositiveInt = 1
    max_reply_bytes: PositiveInt = 4_194_304
    """Of one reply, before and after decompression."""


class HttpConfig(AccessConfig):
    """Tool service with ToolBench's HTTP protocol."""

    url: str
    key_env: str = "TOOLBENCH_KEY"
    """The environment variable that holds its key; may be unset for one that asks for none."""
    strip: Literal["truncate", "filter", "random"] = "truncate"


class RapidApiConfig(AccessConfig):
    """RapidAPI itself, with the user's own key."""

    tools: str
    """A folder of ToolBench's tool JSON files, CATEGORY/TOOL.json."""
    key_env: str = "RAPIDAPI_KEY"

    def rebased(self, folder: Path) -> typing.Self:
        return self.model_copy(update={"tools": file_path(self.tools, folder)})


class OpenApiConfig(AccessConfig):
    """API that an OpenAPI document describes."""

    tools: str
    """A file that `umi tools from-openapi` wrote, or the document itself."""
    base_url: str | None = None
    """The API's address, in place of the file's."""

    def rebased(self, folder: Path) -> typing.Self:
        return self.model_copy(update={"tools": file_path(self.tools, folder)})


class BfclConfig(Table):
    """Tasks of BFCL: simulated classes for those of several turns; calls of the others are acknowledged."""

    python: str | None = None
    """The interpreter of an environment that has bfcl-eval; only tasks of several turns need it."""

    def rebased(self, folder: Path) -> typing.Self:
        python = self.python if self.python is None or "/" not in self.python else file_path(self.python, folder)
        return self.model_copy(update={"python": python})


class Tau2Config(Table):
    """Tasks of tau2-bench: the tools of its domains over a database of each task's own."""

    python: str
    """The interpreter of an environment that has tau2."""

    def rebased(self, folder: Path) -> typing.Self:
        return self.model_copy(update={"python": file_path(self.python, folder)}) if "/" in self.python else self


class SimulatedConfig(Table):
    """Tools of each task, whose replies a model writes, as ToolAlpaca runs its APIs."""

    model: str
    """A model at `base_url`, else one that runs here: a folder, a GGUF file, a hub id or `smollm2-135m`."""
    base_url: str | None = None
    """An OpenAI-compatible endpoint."""
    key_env: str = "OPENAI_API_KEY"
    """The environment variable that holds the endpoint's key."""
    concurrency: PositiveInt = 8
    """Concurrent requests to the endpoint."""
    max_tokens: PositiveInt = 1024
    """Of a reply."""


class ReplayConfig(Table):
    """Replay of recorded replies, without live calls."""

    recording: str | None = None
    """A recording of calls (`record` writes one); without it every task is a trajectory that is played again."""

    def rebased(self, folder: Path) -> typing.Self:
        recording = None if self.recording is None else file_path(self.recording, folder)
        return self.model_copy(update={"recording": recording})


class PythonConfig(Table):
    """Python functions, the same for every task."""

    tools: str
    """A Python file with @tool functions."""
    timeout_s: float | None = Field(default=30.0, gt=0)

    def rebased(self, folder: Path) -> typing.Self:
        return self.model_copy(update={"tools": file_path(self.tools, folder)})


class McpConfig(Table):
    """Tools of MCP servers, the same for every task."""

    servers: list[str]
    """Each a command with its arguments, an address (http://...), or a file with `mcpServers` (.json)."""
    offer: PositiveInt = 16
    """Most tools that a query is offered; of more servers' tools those are that BM25 finds for it."""
    timeout_s: float = Field(default=60.0, gt=0)
    """Of a call."""
    connect_timeout_s: float = Field(default=60.0, gt=0)
    """Until a server's first reply."""

    def rebased(self, folder: Path) -> typing.Self:
        servers = [file_path(each, folder) if each.endswith(".json") else each for each in self.servers]
        return self.model_copy(update={"servers": servers})


class BudgetConfig(Table):
    """Limits to which observations are shortened; see environments.budgets."""

    cut: Literal["whole", "truncate", "filter", "random"] = "whole"
    max_chars: PositiveInt = 4096


class EnvironmentConfig(Table):
    """Configuration of one environment: the tables of all its kinds."""

    world: WorldConfig | None = None
    http: HttpConfig | None = None
    rapidapi: RapidApiConfig | None = None
    replay: ReplayConfig | None = None
    python: PythonConfig | None = None
    mcp: McpConfig | None = None
    openapi: OpenApiConfig | None = None
    bfcl: BfclConfig | None = None
    tau2: Tau2Config | None = None
    simulated: SimulatedConfig | None = None
    code: str | None = None
    """An environment of one's own, `module:attribute`; see loading.environments."""
    budget: BudgetConfig | None = None
    """None: the default budget; under `--compat` the published one."""
    record: str | None = None
    """A file to which observations are recorded, and from which they are answered when they come again."""
    confirm: tuple[str, ...] = ()
    """Patterns (`delete_*`) of tools whose calls are confirmed before they run, beside those that ask for it
    themselves; where nobody can be asked they are declined."""
    approve: tuple[str, ...] = ()
    """Patterns of tools whose calls run unasked, whatever they ask for."""

    @model_validator(mode="after")
    def _is_a_place(self) -> typing.Self:
        if self.code is None and not any(getattr(self, name) is not None for name in PLACES):
            tables = "], [".join(PLACES)
            raise ValueError(
                f"it names no environment; write one of the tables [{tables}], or code = 'module:attribute'"
            )
        return self

    def rebased(self, folder: Path) -> typing.Self:
        record = None if self.record is None else file_path(self.record, folder)
        return super().rebased(folder).model_copy(update={"record": record})


PLACES = ("world", "http", "rapidapi", "replay", "python", "mcp", "openapi", "bfcl", "tau2", "simulated")

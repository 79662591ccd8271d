"""Composition root of environments: from configuration to environments that run the tools of each query."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from alpha_umi.config import (
    AccessConfig,
    BfclConfig,
    BudgetConfig,
    ClientReference,
    EnvironmentConfig,
    HttpConfig,
    OpenApiConfig,
    PythonConfig,
    RapidApiConfig,
    ReplayConfig,
    SimulatedConfig,
    Tau2Config,
)
from alpha_umi.datasets.queries import Query
from alpha_umi.environments.budgets import Budget, BudgetedEnvironment, Cut
from alpha_umi.environments.composite import CompositeEnvironment
from alpha_umi.environments.confirming import Confirmation, ConfirmingEnvironment
from alpha_umi.environments.mending import MendingEnvironment
from alpha_umi.environments.python import PythonEnvironment, load_tools
from alpha_umi.environments.recording import RecordedEnvironment, Recording, RecordingEnvironment
from alpha_umi.environments.replay import ReplayEnvironment
from alpha_umi.errors import AlphaUMiError, ConfigError, DataError
from alpha_umi.formats.tool_json import Api, spoken_argument, spoken_name, write_trained_spec
from alpha_umi.loading.code import failure, import_code
from alpha_umi.loading.mcp import McpSource, McpTools, open_mcp
from alpha_umi.protocols import Environment
from alpha_umi.types import Sampling, Task, Trajectory, Turn

if TYPE_CHECKING:
    from alpha_umi.environments.access import Access, AccessLimits
    from alpha_umi.environments.http import Service
    from alpha_umi.world import Verdict

# HTTP clients and the world are imported only where a configuration names them, so that others start fast.

MCP_TWICE = "MCP servers are named twice: by --mcp and in the environment's [mcp]; name all of them in one place"
Opener = Callable[[Query, list[str]], Environment]
"""Factory of a query's environment; it adds warnings to the list. Raises DataError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedEnvironment:
    """Environments for queries; an async context manager that releases their shared resources."""

    openers: tuple[Opener, ...]
    close: tuple[Callable[[], Awaitable[None]], ...] = ()
    budget: BudgetConfig | None = field(default_factory=BudgetConfig)
    """None: observations as they come."""
    mends: bool = True
    """False: calls reach the tools as models wrote them."""
    recording: Recording | None = None
    mcp: McpTools | None = None
    """Tools of MCP servers, beside the others."""
    confirmation: Confirmation = field(default_factory=Confirmation)
    introduce: Callable[[Task], str] | None = None
    """Writer of the text that stands above a task's query; it may block."""
    verifies: bool = False
    """True: the tasks are the sealed world's, so that its verifier can check them."""

    async def __aenter__(self) -> LoadedEnvironment:
        return self

    async def __aexit__(self, *_: object) -> None:
        for close in self.close:
            await close()

    def with_mcp(self, sources: Sequence[McpSource]) -> LoadedEnvironment:
        """Add the tools of MCP servers, and connect to these. Raises ConfigError or DataError."""
        if self.mcp is not None:
            raise ConfigError(MCP_TWICE)
        mcp = open_mcp(sources)
        mcp.servers.connect()
        return replace(self, mcp=mcp, close=(*self.close, mcp.servers.aclose))

    def open(self, query: Query, notes: list[str] | None = None) -> Environment:
        """Open an environment of its own for a query. Raises DataError for one whose tools cannot be run here."""
        said = [] if notes is None else notes
        parts = [opener(query, said) for opener in self.openers]
        if self.mcp is not None:
            parts.append(self.mcp.open(query, {spec.name for part in parts for spec in part.tools}))
        place = parts[0] if len(parts) == 1 else CompositeEnvironment(parts)
        if self.recording is not None:
            place = RecordingEnvironment(place, self.recording)
        place = ConfirmingEnvironment(place, self.confirmation)
        if self.mends:
            place = MendingEnvironment(place)
        return place if self.budget is None else BudgetedEnvironment(place, _budget(self.budget, query.apis))

    def history(self, task: Task) -> tuple[Turn, ...]:
        """The exchanges of user and agent before the one that a task asks for; only tasks of a world have any."""
        if not self.verifies:
            return ()
        from alpha_umi.world.oracle_agent import world_of

        return world_of(task).history(task)

    async def introduction(self, task: Task) -> str:
        """Text of the environment that stands above the task's query; mostly empty."""
        return "" if self.introduce is None else await asyncio.to_thread(self.introduce, task)

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict | None:
        """Verify that a task was done; None where that cannot be known."""
        if not self.verifies:
            return None
        from alpha_umi.world.oracle_agent import world_of

        return world_of(task).verify(task, trajectory)


def open_environment(config: EnvironmentConfig, compat: ClientReference | None = None) -> LoadedEnvironment:
    """Open the environments that `config` names. Raises ConfigError or DataError for missing parts."""
    if config.record is not None and config.world is not None:
        raise ConfigError("record: the sealed world answers each task by facts of its own; there is nothing to record")
    openers: list[Opener] = []
    close: list[Callable[[], Awaitable[None]]] = []
    if config.world is not None:
        openers.append(_open_world)
    if config.http is not None:
        from alpha_umi.environments.access import Access
        from alpha_umi.environments.http import HttpEnvironment

        service = _service(config.http, compat)
        access = Access(service.limits, secrets=(service.key,))
        openers.append(lambda query, _: HttpEnvironment(service, _needed(query), access))
        close.append(access.aclose)
    if config.rapidapi is not None:
        rapid = _RapidApis(config.rapidapi)
        openers.append(rapid.open)
        close.append(rapid.access.aclose)
    if config.replay is not None:
        openers.append(_replay(config.replay))
    if config.python is not None:
        openers.append(_python(config.python))
    if config.openapi is not None:
        openers.append(_openapi(config.openapi, close))
    benchmark = _benchmark(config, close)
    if benchmark is not None:
        openers.append(benchmark[0])
    if config.simulated is not None:
        openers.append(_simulated(config.simulated, close))
    if config.code is not None:
        openers.append(_coded(config.code, close))
    mcp = None if config.mcp is None else open_mcp(config.mcp.servers, config.mcp)
    if mcp is not None:
        close.append(mcp.servers.aclose)
    return LoadedEnvironment(
        openers=tuple(openers),
        close=tuple(close),
        budget=config.budget or (BudgetConfig() if compat is None else None),
        mends=compat is None and benchmark is None,  # judged by calls as they were written
        recording=None if config.record is None else Recording(Path(config.record)),
        mcp=mcp,
        confirmation=Confirmation(tools=config.confirm, approved=config.approve),
        introduce=None if benchmark is None else benchmark[1],
        verifies=config.world is not None,
    )


def _open_world(query: Query, _: list[str]) -> Environment:
    from alpha_umi.environments.world import WorldEnvironment
    from alpha_umi.world.oracle_agent import world_of

    return WorldEnvironment(world_of(query.task), query.task)


def _needed(query: Query) -> tuple[Api, ...]:
    if not query.apis:
        raise DataError(
            f"query {query.task.id} has no 'api_list', so no tool can be called for it; take a query file that has "
            "one, or another --env"
        )
    return query.apis


def _service(config: HttpConfig, compat: ClientReference | None) -> Service:
    from alpha_umi.environments.http import Service

    return Service(
        url=config.url,
        key=os.environ.get(config.key_env, ""),
        strip=config.strip,
        limits=_access_limits(config),
        compat=compat,
    )


def _access_limits(config: AccessConfig) -> AccessLimits:
    from alpha_umi.environments.access import AccessLimits

    return AccessLimits(**{name: getattr(config, name) for name in AccessConfig.model_fields})


@dataclass(slots=True)
class _RapidApis:
    """Declared APIs of a folder, found by the names that queries give them."""

    config: RapidApiConfig
    key: str = ""
    access: Access = field(init=False)
    known: dict[tuple[str, str], Api] = field(default_factory=dict[tuple[str, str], Api])

    def __post_init__(self) -> None:
        self.key = os.environ.get(self.config.key_env, "")
        if not self.key:
            raise ConfigError(f"calling RapidAPI needs a key; set {self.config.key_env}, or use --env http")
        from alpha_umi.environments.access import Access
        from alpha_umi.environments.rapidapi import load_apis

        self.access = Access(_access_limits(self.config), secrets=(self.key,))
        for api in load_apis(Path(self.config.tools)):
            self.known.setdefault(_names(api), api)

    def open(self, query: Query, notes: list[str]) -> Environment:
        found = [self.known.get(_names(api)) for api in _needed(query)]
        missing = [api for api, each in zip(query.apis, found, strict=True) if each is None]
        if missing:
            named = ", ".join(f"{api.name!r} of {api.tool!r}" for api in missing)
            what = f"query {query.task.id}: {self.config.tools} has no {named}"
            if len(missing) == len(found):
                raise DataError(f"{what}, so none of its APIs can be called; take the tool files of the same data")
            notes.append(f"{what}; left out")
        from alpha_umi.environments.rapidapi import RapidApiEnvironment

        return RapidApiEnvironment([api for api in found if api is not None], self.key, self.access)


def _names(api: Api) -> tuple[str, str]:
    return spoken_name(api.tool), spoken_argument(api.name)


def _replay(config: ReplayConfig) -> Opener:
    if config.recording is not None:
        path = Path(config.recording)
        if not path.exists():
            raise DataError(f"{path}: no such recording; make one by 'record' in an environment's configuration")
        recording = Recording(path)
        return lambda query, _: RecordedEnvironment(query.task.tools, recording)

    def play(query: Query, _: list[str]) -> Environment:
        if query.recorded is None:
            raise DataError(
                f"query {query.task.id} is no trajectory, so there is nothing to replay; name a recording "
                "(replay.recording), or take trajectories (.jsonl) as queries"
            )
        return ReplayEnvironment(query.recorded)

    return play


def _python(config: PythonConfig) -> Opener:
    tools = load_tools(Path(config.tools))
    return lambda _, __: PythonEnvironment(tools, config.timeout_s)


def _openapi(config: OpenApiConfig, close: list[Callable[[], Awaitable[None]]]) -> Opener:
    from alpha_umi.environments.openapi.environment import OpenApiEnvironment
    from alpha_umi.environments.openapi.tool_file import load_api_tools

    api = load_api_tools(Path(config.tools), config.base_url)
    limits = _access_limits(config)
    if "timeout_s" not in config.model_fields_set:
        limits = replace(limits, timeout_s=api.timeout_s)
    environment = OpenApiEnvironment(api, limits)
    close.append(environment.aclose)
    return lambda _, __: environment


_Benchmark = tuple[Opener, Callable[[Task], str] | None]
"""Environments of a benchmark's tasks, and the writer of the text above their queries."""


def _benchmark(config: EnvironmentConfig, close: list[Callable[[], Awaitable[None]]]) -> _Benchmark | None:
    if config.bfcl is not None and config.tau2 is not None:
        raise ConfigError("[bfcl] and [tau2]: a task is of one benchmark; name one of them")
    if config.bfcl is not None:
        return _bfcl(config.bfcl, close)
    return None if config.tau2 is None else _tau2(config.tau2, close)


def _bfcl(config: BfclConfig, close: list[Callable[[], Awaitable[None]]]) -> _Benchmark:
    from alpha_umi.environments.acknowledging import AcknowledgingEnvironment
    from alpha_umi.environments.bfcl.environment import INSTALL, PROGRAM, introduce, played_before
    from alpha_umi.environments.simulators import Simulator, SimulatorEnvironment

    simulator = None if config.python is None else Simulator(Path(config.python), PROGRAM)
    if simulator is not None:
        close.append(simulator.aclose)

    def open_one(query: Query, _: list[str]) -> Environment:
        if "simulation" not in query.task.metadata:
            return AcknowledgingEnvironment(query.task)
        if simulator is None:
            raise DataError(
                f"task {query.task.id} calls simulated classes of bfcl-eval: name a Python that has it by --set "
                f"bfcl.python=PATH; there: {INSTALL}"
            )
        return SimulatorEnvironment(query.task, simulator, played_before(query.task))

    return open_one, None if simulator is None else partial(introduce, simulator)


def _tau2(config: Tau2Config, close: list[Callable[[], Awaitable[None]]]) -> _Benchmark:
    from alpha_umi.environments.simulators import Simulator, SimulatorEnvironment
    from alpha_umi.environments.tau2.environment import PROGRAM, introduce

    simulator = Simulator(Path(config.python), PROGRAM)
    close.append(simulator.aclose)

    def open_one(query: Query, _: list[str]) -> Environment:
        if query.task.metadata.get("source") != "tau2" or "simulation" not in query.task.metadata:
            raise DataError(f"task {query.task.id} is none of tau2-bench; make its tasks by 'umi prepare tau2'")
        return SimulatorEnvironment(query.task, simulator)

    return open_one, partial(introduce, simulator)


def _simulated(config: SimulatedConfig, close: list[Callable[[], Awaitable[None]]]) -> Opener:
    from alpha_umi.environments.simulated import SimulatedEnvironment
    from alpha_umi.loading.judges import LateSimulator, choose_model

    simulator = LateSimulator(choose_model(config.model, config.base_url, config.key_env, config.concurrency))
    close.append(simulator.aclose)
    sampling = Sampling(max_tokens=config.max_tokens)
    return lambda query, _: SimulatedEnvironment(query.task, simulator, sampling)


def _coded(name: str, close: list[Callable[[], Awaitable[None]]]) -> Opener:
    """Environment of which every query gets a fork, or class or function that makes one (of a task if it needs one)."""
    found = import_code(name, "environment")
    wrong = f"environment {name!r} has no 'tools', 'execute' and 'fork', and makes nothing that has"
    if isinstance(found, Environment) and not isinstance(found, type):
        if hasattr(found, "aclose"):
            close.append(getattr(found, "aclose"))  # noqa: B009
        return lambda _, __: found.fork()
    if not callable(found):
        raise ConfigError(wrong)
    needs_task = _needs_argument(found)

    def open_one(query: Query, _: list[str]) -> Environment:
        # The user's code: what it raises is a fault of this query.
        try:
            made = found(query.task) if needs_task else found()
        except AlphaUMiError:
            raise
        except Exception as error:
            raise DataError(f"query {query.task.id}: environment {name!r}: {failure(error)}") from error
        if not isinstance(made, Environment):
            raise ConfigError(wrong)
        return made

    return open_one


def _needs_argument(function: Callable[..., object]) -> bool:
    try:
        inspect.signature(function).bind()
    except TypeError:
        return True
    except ValueError:  # Python does not know its parameters
        return False
    return False


def _budget(config: BudgetConfig, apis: Sequence[Api]) -> Budget:
    schemas = {write_trained_spec(api).name: api.schema for api in apis}
    return Budget(cut=Cut(config.cut), max_chars=config.max_chars, schemas=schemas)

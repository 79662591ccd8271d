"""Loaded agents of the public API, and the choice of one by name, endpoint or object."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, Unpack

from alpha_umi import protocols
from alpha_umi.agent import with_streaming
from alpha_umi.config import AgentConfig
from alpha_umi.config.calls import validated
from alpha_umi.errors import ConfigError
from alpha_umi.event_loops import Job, LoopThread
from alpha_umi.jobs.chat import Chat, OnToken
from alpha_umi.jobs.options import AgentOptions, AskOptions, ChatOptions, SearchOptions
from alpha_umi.jobs.toolbox import Toolbox, ToolRules, open_toolbox
from alpha_umi.loading.agents import (
    AgentKind,
    LoadedAgent,
    instruct_agent,
    is_coded,
    open_agent,
    open_coded_agent,
    read_agent,
)
from alpha_umi.loading.bundled import default_agent
from alpha_umi.loading.hub import upload_run
from alpha_umi.loading.pretrained import NAMED
from alpha_umi.loading.saving import save_agent
from alpha_umi.output_lock import locked
from alpha_umi.search import Comparison, Limits, Ranker, open_strategy
from alpha_umi.types import Proposal, Role, Task, Trajectory, Turn

if TYPE_CHECKING:
    from alpha_umi.retrieval.selection import ToolSelection

AGENT_OR_MODEL = (
    "name an agent by --agent, or an instruct model by --model, at an endpoint by --base-url (--native and --thinking "
    "go with --model)"
)
"""Message for arguments that name no agent, or two."""
_Result = TypeVar("_Result")
_OBSERVERS = ("on_node", "on_token")
_MAX_REPEATS = 3
_TOOLS = ("tools", "env", "mcp", "world", "world_task")


class Agent:
    """Loaded agent with its models in memory; satisfies `protocols.Agent` by `propose`.

    Blocking methods run in a thread with an event loop of its own, so they work where a loop runs already (a notebook).
    Context manager, sync and async, that frees the models.
    """

    def __init__(self, loaded: LoadedAgent, config: AgentConfig | None = None, name: str = "agent") -> None:
        self.config = config
        """None: an agent that is code."""
        self.name = name
        self._loaded = loaded
        self._thread = LoopThread(f"alpha-umi-{name}")

    def __repr__(self) -> str:
        return f"Agent({self.name!r})"

    @property
    def format(self) -> protocols.Format | None:
        """Prompt format of the models; None for an agent that is code."""
        return self._loaded.format

    # --- queries --------------------------------------------------------------------------------------

    async def propose(self, task: Task, turns: Sequence[Turn]) -> Proposal:
        """The next turns after `turns`. Raises ModelError when a model cannot complete."""
        return await self._in_thread(self._loaded.agent.propose(task, turns))

    @validated
    def ask(self, query: str | None = None, **options: Unpack[AskOptions]) -> Trajectory:
        """Answer one query with tools. Works inside a running event loop; async tools run in a loop of their own.

        Raises ConfigError for wrong arguments, ModelError when a model cannot complete.
        """
        return self.run(self.aask(query, **options))

    @validated
    async def aask(self, query: str | None = None, **options: Unpack[AskOptions]) -> Trajectory:
        """As `ask`, awaited: async tools run in the caller's event loop."""
        async with Chat(self, read_toolbox(query, options, self.config), **self.read_search(options)) as chat:
            return await chat.asend(query or "", **{name: options.get(name) for name in _OBSERVERS})

    @validated
    def chat(self, **options: Unpack[ChatOptions]) -> Chat:
        """Start a conversation: each message is answered with the earlier exchanges as context."""
        toolbox = open_toolbox(**tool_options(options), agent=self.config)
        return Chat(self, toolbox, **self.read_search(options))

    def read_search(self, options: Any) -> dict[str, Any]:
        """Strategy, limits and tool selection of a search from options. Raises ConfigError for an unknown strategy."""
        ranker = None if self._loaded.ranker is None else _RankerInThread(self._loaded.ranker, self._in_thread)
        return {
            "strategy": open_strategy(options.get("strategy", "chain"), ranker),
            "limits": read_limits(options),
            "selection": read_selection(options),
        }

    def observed(self, on_token: OnToken | None) -> protocols.Agent:
        """The same agent; `on_token` gets what its models generate, in the event loop of the proposal's caller."""
        return self if on_token is None else _ObservedAgent(self._loaded.agent, on_token, self._in_thread)

    # --- saving ---------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(cls, name: str | Path, **options: Unpack[AgentOptions]) -> Agent:
        """Load an agent that was saved or trained: a run directory, a bundled name, or a Hugging Face Hub repository.

        The Hub's local cache goes first; HF_HUB_OFFLINE is respected. Raises as `load`.
        """
        return load(name, **options)

    @validated
    def save_pretrained(self, out: Path) -> Path:
        """Write a run directory that holds all of the agent and return it.

        Raises ConfigError for an agent that is code and for a folder that holds anything, StorageError.
        """
        if self.config is None:
            raise ConfigError(f"agent {self.name!r} is code, which cannot be saved")
        with locked(out):
            save_agent(self.config, out)
        return out

    @validated
    def push_to_hub(
        self, repo_id: str, *, private: bool = False, token: str | None = None, commit_message: str = "Upload an agent"
    ) -> str:
        """Upload the agent's run directory to a Hugging Face Hub repository, made if missing; returns its address.

        `token`: None takes the one of `hf auth login` or HF_TOKEN. Raises ConfigError for an agent that is code,
        StorageError where the Hub refuses or cannot be reached.
        """
        with tempfile.TemporaryDirectory(prefix="alpha_umi_") as folder:
            run = self.save_pretrained(Path(folder) / repo_id.rpartition("/")[2])
            return upload_run(run, repo_id, private=private, token=token, message=commit_message)

    # --- threads and resources ------------------------------------------------------------------------

    def run(self, coroutine: Coroutine[Any, Any, _Result]) -> _Result:
        """Run a coroutine in the agent's own event loop and wait for it; KeyboardInterrupt cancels it first."""
        return self._thread.run(coroutine)

    def start(self, coroutine: Coroutine[Any, Any, _Result]) -> Job[_Result]:
        """Run a coroutine in the agent's own event loop without waiting for it."""
        return self._thread.start(coroutine)

    async def _in_thread(self, coroutine: Coroutine[Any, Any, _Result]) -> _Result:
        """Models behind endpoints belong to one event loop; agents that are code run where they are called."""
        return await (self._thread.wait_for(coroutine) if self._loaded.models else coroutine)

    def close(self) -> None:
        """Free the models and end the thread."""
        self.run(self._loaded.__aexit__())
        self._thread.close()

    async def aclose(self) -> None:
        """As `close`, awaited."""
        await self._thread.wait_for(self._loaded.__aexit__())
        await asyncio.to_thread(self._thread.close)

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Agent:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


_InThread: TypeAlias = Callable[[Coroutine[Any, Any, Any]], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class _ObservedAgent:
    """Agent whose generated text is passed on."""

    agent: protocols.Agent
    on_token: OnToken
    in_thread: _InThread

    async def propose(self, task: Task, turns: Sequence[Turn]) -> Proposal:
        loop = asyncio.get_running_loop()

        def pass_on(role: Role, text: str) -> None:
            if asyncio.get_running_loop() is loop:
                self.on_token(role, text)
            else:
                loop.call_soon_threadsafe(self.on_token, role, text)

        return await self.in_thread(with_streaming(self.agent, pass_on).propose(task, turns))


@dataclass(frozen=True, slots=True)
class _RankerInThread:
    """search.Ranker whose model is asked in the agent's event loop."""

    ranker: Ranker
    in_thread: _InThread

    async def compare(
        self, task: Task, before: Sequence[Turn], first: Sequence[Turn], second: Sequence[Turn]
    ) -> Comparison:
        return await self.in_thread(self.ranker.compare(task, before, first, second))


# --- the choice of an agent -------------------------------------------------------------------------------

AgentLike: TypeAlias = Agent | protocols.Agent | str | Path
"""A loaded agent, an object with `propose`, or the name of one: a run directory, an agent file, a bundled name, a
Hugging Face Hub repository, `oracle`, or `module:attribute`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentChoice:
    """Agent that is chosen and checked but not loaded."""

    name: str
    config: AgentConfig | None = None
    """None: an agent that is code."""
    single: bool = False
    given: Agent | None = None
    """An agent that is loaded; it stays so when what it is opened for ends."""
    coded: protocols.Agent | None = None
    """An object with `propose`."""

    @property
    def is_local(self) -> bool:
        """True if loading it loads local models, which takes seconds."""
        return self.given is None and self.config is not None and self.config.roles.is_local

    def open(self) -> Agent:
        """Load the agent; one that is loaded already is returned. Raises ConfigError or CheckpointError."""
        if self.given is not None:
            return self.given
        if self.coded is not None:
            return Agent(LoadedAgent(agent=self.coded), None, self.name)
        if self.config is None:
            return Agent(open_coded_agent(self.name), None, self.name)
        return Agent(open_agent(self.config, AgentKind.SINGLE if self.single else None), self.config, self.name)


def choose_agent(agent: AgentLike | None, options: AgentOptions, *, own_tools: bool = False) -> AgentChoice:
    """Find an agent by name, endpoint or object without loading it; None without an endpoint is the bundled default.

    `own_tools`: the query brings tools of its own, for which there is another default.

    Raises ConfigError for contradicting arguments, CheckpointError for an agent that is not there or does not fit.
    """
    base_url, model, native = options.get("base_url"), options.get("model"), options.get("native", False)
    single = options.get("single", False)
    if agent is not None and not isinstance(agent, str | Path):
        if {name for name, value in options.items() if value}:
            raise ConfigError(f"agent {agent!r} is loaded already; give its options to load")
        if isinstance(agent, Agent):
            return AgentChoice(name=agent.name, config=agent.config, given=agent)
        return AgentChoice(name="agent", coded=agent)
    template = options.get("chat_template_kwargs")
    if base_url is not None or model is not None or native or template:
        if agent is not None or model is None:
            raise ConfigError(AGENT_OR_MODEL)
        config = instruct_agent(model, base_url, native=native, template=template)
        return AgentChoice(name=Path(model).name, config=_chosen(config, options), single=single)
    default = default_agent(own_tools=own_tools)
    name = default if agent is None else str(agent)
    if not name.strip():
        raise ConfigError(f"agent {name!r} is no name; leave it out for {default}")
    if is_coded(name):
        return AgentChoice(name=name)
    if Path(name).suffix == ".gguf" or name in NAMED:
        return choose_agent(None, {**options, "model": name})
    config = read_agent(Path(name))
    return AgentChoice(name=Path(name).name, config=_chosen(config, options), single=single)


def _chosen(config: AgentConfig, options: AgentOptions) -> AgentConfig:
    """Configuration with what the options say of it."""
    changed = {
        name: options.get(name) for name in ("constrained", "grounded", "threshold") if options.get(name) is not None
    }
    config = config.model_copy(update=changed)
    return config.trusting() if options.get("trust_remote_code") else config


@validated
def load(name: AgentLike | None = None, **options: Unpack[AgentOptions]) -> Agent:
    """Load an agent: a run directory, an agent file (TOML), a bundled name, a Hugging Face Hub repository (the local
    cache goes first), `module:attribute`, `oracle`, or an instruct model by `model`: a hub id, a folder, a GGUF file,
    or one behind an endpoint (`base_url`). Default: umi-tiny.

    Raises ConfigError for wrong arguments, CheckpointError for an agent that is not there or is not safe to load.
    """
    return choose_agent(name, options).open()


def read_toolbox(query: str | None, options: AskOptions, config: AgentConfig | None) -> Toolbox:
    """The tools of one query. Raises ConfigError unless there is a query or a task of a world, and not both."""
    task = options.get("world_task")
    if (query is None or not query.strip()) == (task is None):
        raise ConfigError("say what to do: a query, or the name of a task of the world by --world-task")
    return open_toolbox(**tool_options(options), agent=config)


def read_limits(options: SearchOptions) -> Limits:
    """Limits of the search of a query that a person asks."""
    given: Any = {name: options[name] for name in Limits.__dataclass_fields__ if name in options}
    return Limits(**{"max_repeats": _MAX_REPEATS, **given})


def read_selection(options: AskOptions | ChatOptions) -> ToolSelection | None:
    """Selection of the tools that an agent reads; None where it reads all. Raises ConfigError."""
    k, moment = options.get("retrieve"), options.get("retrieve_at")
    if k is None and moment is None:
        return None
    from alpha_umi.retrieval.selection import RetrieveAt, ToolSelection

    if moment is not None and moment not in [*RetrieveAt]:
        raise ConfigError(f"--retrieve-at {moment!r} is not known; known: {', '.join(RetrieveAt)}")
    return ToolSelection(k=5 if k is None else k, at=RetrieveAt(moment or "query"))


def tool_options(options: AskOptions | ChatOptions) -> dict[str, Any]:
    """Arguments of `open_toolbox` from options."""
    return {**{name: options.get(name) for name in _TOOLS}, "rules": tool_rules(options)}


def tool_rules(options: AskOptions | ChatOptions) -> ToolRules:
    """Rules for calls from options."""
    return ToolRules(
        max_observation_chars=options.get("max_observation_chars"),
        confirm=options.get("confirm"),
        confirm_tools=tuple(options.get("confirm_tools", ())),
        approve_tools=tuple(options.get("approve_tools", ())),
    )

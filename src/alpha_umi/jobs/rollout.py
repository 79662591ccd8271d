"""Run of rollouts from its configuration to its folder: the job of `umi rollout`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from alpha_umi.config import AgentConfig, RetrievalConfig, RolloutConfig, load_config, resolved
from alpha_umi.datasets.queries import NO_APIS, Query, QuerySet, offered
from alpha_umi.errors import ConfigError, DataError
from alpha_umi.event_loops import run_blocking
from alpha_umi.loading.environments import LoadedEnvironment, open_environment
from alpha_umi.loading.rollouts import check_agent, open_explorer, open_recorder
from alpha_umi.loading.trained_tools import warn_of_untrained_tools
from alpha_umi.output_lock import locked
from alpha_umi.rollouts.query_sets import read_sets
from alpha_umi.rollouts.runner import (
    ROLLOUTS,
    Counts,
    Job,
    Rollout,
    RolloutFolder,
    list_jobs,
    roll_out_all,
    with_tools,
)
from alpha_umi.rollouts.sequences import AFTER, Sequences
from alpha_umi.store import make_folder, write_text
from alpha_umi.types import Json, Task

CONFIG = "rollout.toml"
_INDIFFERENT = ("concurrency", "timeout_s", "retries", "per_second", "burst")
"""Keys that change the speed of a run, not its results."""

RollOut: TypeAlias = Callable[[Job], Awaitable[Rollout]]
WorkerPool: TypeAlias = Callable[[RolloutConfig, int], AbstractAsyncContextManager[RollOut]]
"""Context manager of the function that rolls out one task, from configuration and number of concurrent tasks."""
Run: TypeAlias = Callable[[Coroutine[Any, Any, None]], object]
"""Runner of a coroutine to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutOptions:
    """Options of a run of rollouts: configuration, queries and folder."""

    config: RolloutConfig
    queries: Path
    out: Path
    concurrency: int = 32
    limit: int | None = None
    """Only the first of each set, at most this many."""
    resume: bool = False
    retry: bool = False
    """Roll out again what ended with an error."""


@dataclass(slots=True, kw_only=True)
class Progress:
    """Progress of a run, by set."""

    total: int
    sets: dict[str, Counts] = field(default_factory=dict[str, Counts])
    """In the order of the queries."""
    kept: int = 0
    """Tasks that were finished before."""
    notes: Sequence[str] = ()
    """Oddities of the queries."""
    first_error: str = ""

    def add(self, rollout: Rollout) -> None:
        self.sets.setdefault(rollout.set, Counts()).add(rollout)
        self.first_error = self.first_error or rollout.error

    @property
    def all(self) -> Counts:
        return sum(self.sets.values(), Counts())

    def to_json(self) -> dict[str, Json]:
        """JSON object of the results: counts of every set and of all."""
        return {
            "tasks": self.all.tasks,
            "kept": self.kept,
            "sets": {name: counts.to_json() for name, counts in self.sets.items()},
            "all": self.all.to_json(),
            "notes": list(self.notes),
            "first_error": self.first_error or None,
        }


@asynccontextmanager
async def local_pool(config: RolloutConfig, _: int) -> AsyncIterator[RollOut]:
    """This process, with its own agent and environment."""
    async with open_explorer(config) as loaded:
        yield loaded.explorer.roll_out


def roll_out(
    options: RolloutOptions,
    on_progress: Callable[[Progress], object],
    pool: WorkerPool = local_pool,
    run: Run = run_blocking,
) -> Progress:
    """Roll out what is not finished yet. Raises ConfigError for a folder that holds something else, and for one whose
    finished tasks are not those of the queries any more; StorageError.

    `run`: in which event loop. KeyboardInterrupt leaves every finished task on the disk.
    """
    check_agent(options.config)
    jobs, notes = _list_jobs(options)
    with locked(options.out):
        make_folder(options.out)
        folder = _open_folder(options)
        sets = {job.set: Counts() for job in jobs}
        progress, finished = Progress(total=len(jobs), sets=sets, notes=notes), set[str]()
        wanted = {job.key: job.query.task for job in jobs}
        for rollout in folder.read():
            if rollout.key in wanted and rollout.key not in finished:
                _check_same_task(options.out, rollout, wanted[rollout.key])
                finished.add(rollout.key)
                folder.write_answer(rollout, overwrite=False)
                progress.add(rollout)
        progress.kept = len(finished)
        on_progress(progress)
        waiting = [job for job in jobs if job.key not in finished]
        if any(AFTER in job.query.task.metadata for job in jobs):
            pool = _in_sequence(pool, jobs, folder)
        if waiting:
            run(_roll_out(options, waiting, folder, pool, lambda each: _report(each, progress, on_progress)))
    return progress


def _in_sequence(pool: WorkerPool, jobs: Sequence[Job], folder: RolloutFolder) -> WorkerPool:
    """Workers that roll out a task after the one that it goes on after."""

    @asynccontextmanager
    async def open_pool(config: RolloutConfig, concurrency: int) -> AsyncIterator[RollOut]:
        async with pool(config, concurrency) as roll_out_one:
            sequences = Sequences(jobs, roll_out_one)
            sequences.recall(folder.read())
            yield sequences.roll_out

    return open_pool


def _report(rollouts: Sequence[Rollout], progress: Progress, on_progress: Callable[[Progress], object]) -> None:
    for rollout in rollouts:
        progress.add(rollout)
    on_progress(progress)


async def _roll_out(
    options: RolloutOptions,
    jobs: Sequence[Job],
    folder: RolloutFolder,
    pool: WorkerPool,
    on_finished: Callable[[Sequence[Rollout]], None],
) -> None:
    async with (
        pool(options.config, options.concurrency) as roll_out_one,
        aclosing(roll_out_all(jobs, roll_out_one, options.concurrency)) as finished,
    ):
        async for rollouts in finished:
            # In a thread: the others go on while these are brought to the disk.
            await asyncio.to_thread(folder.add, rollouts)
            on_finished(rollouts)


def _list_jobs(options: RolloutOptions) -> tuple[list[Job], list[str]]:
    """All jobs, after a look at whether each one's tools can be run. Raises DataError."""
    sets = read_sets(options.queries)
    retrieval = options.config.retrieval
    if retrieval is not None and retrieval.tools is not None:
        sets = _offer(sets, retrieval.tools, retrieval)
    jobs = list_jobs(sets, options.limit)
    if not jobs:
        raise DataError(f"{options.queries}: holds no query")
    notes = [note for each in sets for note in each.notes]
    environment = open_environment(options.config.environment, options.config.compat)
    tasks = list[Task]()
    try:
        for job in jobs:
            try:
                tasks.append(_open_task(job.query, environment, notes))
            except DataError as error:
                raise DataError(f"{options.queries}: set {job.set}: {error}") from None
    finally:
        run_blocking(environment.__aexit__())
    agent = options.config.agent
    warn_of_untrained_tools(agent if isinstance(agent, AgentConfig) else None, tasks)
    return jobs, notes


def _open_task(query: Query, environment: LoadedEnvironment, notes: list[str]) -> Task:
    """The task with its tools. Raises DataError where its environment has none and the query names none."""
    task = with_tools(query.task, environment.open(query, notes))
    if query.names_no_tools and not task.tools:
        raise DataError(
            f"query {task.id} ({_beginning(task.query)!r}) names no tools, and its environment offers none; add "
            "'tools' to it, or run it where tools are: --env TOOLS.py, --mcp, or --retrieve-from"
        )
    return task


def _offer(sets: Sequence[QuerySet], tools: str, config: RetrievalConfig) -> list[QuerySet]:
    """The sets with tools for every query that names none. Raises DataError where none is found.

    `tools`: declarations, of which a query gets those found for it; where each step finds its own, it gets all.
    """
    from alpha_umi.retrieval import Retriever, load_corpus

    corpus = load_corpus(Path(tools))
    retriever = None if config.at == "step" else Retriever.index(corpus, config.model)

    def served(query: Query, name: str) -> Query:
        if query.apis or query.task.tools:
            return query
        apis = corpus if retriever is None else tuple(retriever.offer(query.task.query, config.k))
        if not apis:
            raise DataError(
                f"set {name}: query {query.task.id} ({_beginning(query.task.query)!r}) has no 'api_list', and none of "
                f"the {len(corpus)} APIs of {tools} shares a word with it; give it an 'api_list', "
                "name other tools by --retrieve-from, or an encoder by --retriever, which compares meanings"
            )
        return replace(query, apis=apis, task=replace(query.task, tools=offered(apis)), names_no_tools=False)

    return [
        replace(
            each,
            queries=tuple(served(query, each.name) for query in each.queries),
            notes=tuple(note for note in each.notes if NO_APIS not in note),
        )
        for each in sets
    ]


def _beginning(text: str, length: int = 60) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."


# --- the folder -------------------------------------------------------------------------------------------


def _open_folder(options: RolloutOptions) -> RolloutFolder:
    """The run's folder, begun or gone on with."""
    out, config = options.out, options.config
    path, recorder = out / CONFIG, open_recorder(config)
    if not (out / ROLLOUTS).exists():
        with write_text(path) as text:
            text.write(resolved(config))
    elif not path.exists():
        raise ConfigError(f"{out}: has rollouts but no {CONFIG}, so what made them is not known; name another --out")
    elif not options.resume:
        raise ConfigError(f"{out}: is a run already; --resume goes on with it, another --out begins a new one")
    else:
        _check_same(path, config)
    folder = RolloutFolder(out, recorder)
    if options.retry:
        folder.forget(lambda rollout: bool(rollout.error))
    return folder


def _check_same(path: Path, config: RolloutConfig) -> None:
    before, now = (dict(_flat(each.model_dump(mode="json"))) for each in (load_config(RolloutConfig, path), config))
    changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    if changed:
        told = "; ".join(f"{key} was {before.get(key)!r}, is {now.get(key)!r}" for key in changed[:3])
        raise ConfigError(f"{path}: the run was begun with other settings ({told}); name another --out for these")


def _check_same_task(out: Path, rollout: Rollout, task: Task) -> None:
    """Check that a finished task has the query it has now, in the same version of the world."""
    before = rollout.trajectory.task
    was, now = before.metadata.get("world"), task.metadata.get("world")
    if before.query != task.query:
        change = f"was asked {before.query!r}, now it is {task.query!r}"
    elif None not in (was, now) and was != now:
        change = f"is of version {was} of the world, now it is of {now}"
    else:
        return
    raise ConfigError(f"{out}: the finished task {rollout.key} {change}; name another --out for these queries")


def _flat(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if value and isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        elif name not in _INDIFFERENT and value is not None:
            yield f"{above}{name}", value

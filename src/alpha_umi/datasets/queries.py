"""Reader of ToolBench's query files (`G1_instruction.json` ...): `{query_id, query, api_list, relevant APIs}` to tasks.

An entry that cannot be a query is a DataError; an irregular one is a query with a note. Whether a query may lack its
APIs depends on where its tools are run, so the environment decides that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from alpha_umi.errors import DataError
from alpha_umi.formats.tool_json import Api, read_api, unpack_json, write_trained_spec
from alpha_umi.types import Json, Task, ToolSpec, Trajectory

NO_APIS = "it has no 'api_list'; --retrieve-from finds APIs for it"
"""Note on a query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A task, with what is known of its tools beyond the prompt."""

    task: Task
    apis: tuple[Api, ...] = ()
    """As the query's `api_list` declares them; empty where it has none."""
    relevant: tuple[tuple[str, str], ...] = ()
    """Gold of retrieval: relevant (tool name, API name) pairs."""
    recorded: Trajectory | None = None
    """Set if the task was read from a trajectory."""
    names_no_tools: bool = False
    """True if its row says nothing of tools, so that its environment must offer some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuerySet:
    """The queries of one file."""

    name: str
    queries: tuple[Query, ...]
    notes: tuple[str, ...] = ()
    """Irregularities of some of them, one sentence each."""


def read_queries(document: Json, name: str, source: str) -> QuerySet:
    """Read a decoded query file; `source` is named in errors. Raises DataError naming the entry and its fault."""
    if not isinstance(document, list):
        raise DataError(f"{source}: no query file: a list of {{query_id, query, api_list}} is needed")
    queries: dict[str, Query] = {}
    notes: list[str] = []
    for number, entry in enumerate(document):
        query, odd = _read_query(entry, f"{source}: entry {number}")
        if query.task.id in queries:
            raise DataError(f"{source}: two queries have the id {query.task.id}; give one another")
        queries[query.task.id] = query
        notes += [f"{name}: query {query.task.id}: {note}" for note in odd]
    return QuerySet(name=name, queries=tuple(queries.values()), notes=tuple(notes))


def gather_queries(name: str, queries: Iterable[Query], source: str) -> QuerySet:
    """Make queries from tasks. Raises DataError where two have the same id."""
    chosen = tuple(queries)
    twice = [task_id for task_id, count in Counter(query.task.id for query in chosen).items() if count > 1]
    if twice:
        raise DataError(f"{source}: two tasks have the id {twice[0]!r}; give one another")
    return QuerySet(name=name, queries=chosen)


def _read_query(entry: Json, where: str) -> tuple[Query, list[str]]:
    if not isinstance(entry, dict):
        raise DataError(f"{where} is no query: an object with query_id, query and api_list is needed")
    identity, text = entry.get("query_id"), entry.get("query")
    if not isinstance(identity, int | str) or isinstance(identity, bool) or not str(identity).strip():
        raise DataError(f"{where}: 'query_id' is missing; give each query one of its own")
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"{where} (query {identity}): 'query' is missing or empty; write what the user asks")
    listed, metadata = unpack_json(entry.get("api_list")), entry.get("metadata")
    if listed is not None and not isinstance(listed, list):
        raise DataError(f"{where} (query {identity}): 'api_list' is no list; list the APIs that may be called")
    notes = [] if listed else [NO_APIS]
    apis = [read_api(api) for each in listed or [] if isinstance(api := unpack_json(each), dict)]
    named = tuple(api for api in apis if api.tool and api.name)
    if len(named) < len(listed or []):
        unnamed = len(listed or []) - len(named)
        notes.append(f"{unnamed} entries of its 'api_list' lack 'tool_name' or 'api_name' and are left out")
    relevant = tuple(_relevant(entry.get("relevant APIs")))
    notes += [*_twice(named), *_missing(named, relevant)]
    task = Task(
        id=str(identity),
        query=text,
        tools=offered(named),
        metadata=metadata if isinstance(metadata, dict) else {},
    )
    return Query(task=task, apis=named, relevant=relevant), notes


def offered(apis: Iterable[Api]) -> tuple[ToolSpec, ...]:
    """Tool specs of APIs as a model sees them; of several with one name the first."""
    specs: dict[str, ToolSpec] = {}
    for api in apis:
        spec = write_trained_spec(api)
        specs.setdefault(spec.name, spec)
    return tuple(specs.values())


def _relevant(value: Json) -> Iterator[tuple[str, str]]:
    pairs = unpack_json(value)
    for pair in pairs if isinstance(pairs, list) else []:
        if isinstance(pair, list) and len(pair) == 2:
            yield str(pair[0]), str(pair[1])


def _twice(apis: Iterable[Api]) -> Iterator[str]:
    names: dict[str, list[Api]] = {}
    for api in apis:
        names.setdefault(write_trained_spec(api).name, []).append(api)
    for name, alike in names.items():
        if len(alike) > 1:
            told = ", ".join(repr(api.name) for api in alike)
            yield f"{len(alike)} APIs are called {name!r} ({told}); the first is offered"


def _missing(apis: Iterable[Api], relevant: Iterable[tuple[str, str]]) -> Iterator[str]:
    known = {(api.tool, api.name) for api in apis}
    for tool, name in relevant:
        if known and (tool, name) not in known:
            yield f"its relevant API {name!r} of {tool!r} is not in its 'api_list'; it may be unsolvable"

"""Conversion of raw ToolBench answers to trajectories, in parallel on all cores.

Files are converted in chunks and arrive in their sorted order; at most a few chunks are in progress, so memory does
not grow with their number. Output appears complete or not at all, also when the work is interrupted.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import cast

from pydantic_core import from_json

from alpha_umi.datasets.processed import write_processed
from alpha_umi.datasets.reference import published_stage_1, published_stage_2, read_published_row
from alpha_umi.datasets.toolbench import Skip, find_generation, read_answer
from alpha_umi.errors import DataError
from alpha_umi.preparation.lists import dump_indented, writing_list
from alpha_umi.preparation.report import BROKEN, PrepareReport, PrepareStats, Progress
from alpha_umi.store import dump_line, encode_trajectory, read_json, write_text
from alpha_umi.text_files import check_regular
from alpha_umi.types import Json, Trajectory

GROUPS = ("G1_answer", "G2_answer", "G3_answer")
STAGES = ("raw_data_stage_1.json", "raw_data_stage_2.json")
TEST_SETS = ("G1_category", "G1_instruction", "G1_tool", "G2_category", "G2_instruction", "G3_instruction")
_PIECE = 16
"""Files per chunk: about 1.5 MB, so that the work outweighs the hand-over."""
_ALONE = 64
"""Number of files up to which one process is faster than several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerOptions:
    """Options of the preparation of raw answers."""

    test_ids: Path | None = None
    """Directory of held-out query ids, one JSON file per test set (`G1_category.json` ...)."""
    stages: Path | None = None
    """Directory in which to write the two raw stages in the published shape, too."""
    compat: bool = False
    """As published, mistakes included."""
    limit: int | None = None
    """Number of trajectories to keep, the first ones; the published code keeps 20."""
    workers: int | None = None
    """Processes; None: one per core."""
    strict: bool = False
    """Stop at a file that cannot be read."""


def prepare_answers(
    answers: Path, out: Path, options: AnswerOptions | None = None, progress: Progress | None = None
) -> PrepareReport:
    """Write the trajectories of `answers/G1_answer`, `G2_answer` and `G3_answer` to `out`.

    Files that cannot be read are counted and named. Raises DataError for a directory without answers, with `strict`
    for such a file (with line and column) and, unless compat, where no answer at all can be used; StorageError where
    the output cannot be written.
    """
    options = options or AnswerOptions()
    names, ignored = _list_answers(answers)
    todo = _training_names(names, options)
    stats = PrepareStats()
    stages = options.stages is not None
    starts = range(0, len(todo), _PIECE)
    pieces = [_Piece(answers, todo[at : at + _PIECE], options.compat, stages, options.strict) for at in starts]
    with ExitStack() as files:
        lines = files.enter_context(write_text(out))
        lists = [files.enter_context(writing_list(options.stages / name)) for name in STAGES] if options.stages else []
        results = files.enter_context(closing(_convert_all(pieces, _workers(options, len(todo)))))
        for result in results:
            match result:
                case _Skipped(name=name, reason=reason, detail=detail):
                    stats.skip(name, reason, detail)
                case _Row():
                    stats.keep(result.deviations)
                    lines.write(result.line)
                    for written, row in zip(lists, result.stages, strict=True):
                        written.add(row)
            if progress is not None:
                progress(stats.read, len(todo))
            if stats.kept == options.limit:
                break
        if not stats.kept and not options.compat:
            raise DataError(_nothing_usable(answers, names, todo, stats))
    return stats.report(compat=options.compat, held_out=len(names) - len(todo), ignored=ignored)


# --- which files --------------------------------------------------------------------------------------


def _list_answers(answers: Path) -> tuple[list[str], int]:
    """List answer files as `GROUP/NAME`, groups and names in order, and count the other entries."""
    groups = [group for group in GROUPS if (answers / group).is_dir()]
    if not groups:
        what = "has none of the directories" if answers.is_dir() else "is no directory; one is needed with"
        raise DataError(f"{answers}: {what} {', '.join(GROUPS)}")
    names: list[str] = []
    ignored = 0
    try:
        for group in groups:
            with os.scandir(answers / group) as entries:
                found = {entry.name: entry.is_file() for entry in entries}
            usable = [name for name, is_file in sorted(found.items()) if is_file and _is_answer(name)]
            names.extend(f"{group}/{name}" for name in usable)
            ignored += len(found) - len(usable)
    except OSError as error:
        raise DataError(f"{answers}: cannot be read: {error.strerror or error}") from None
    return names, ignored


def _is_answer(name: str) -> bool:
    return name.endswith(".json") and not name.startswith(".")


def _training_names(names: Sequence[str], options: AnswerOptions) -> list[str]:
    if options.test_ids is None:
        return list(names)
    held_out = _read_held_out(options.test_ids, options)
    return [name for name in names if not _is_held_out(name, held_out, options)]


def _read_held_out(directory: Path, options: AnswerOptions) -> dict[str, set[str]]:
    """Read query ids by test set. As published: only ids that are text, in the six known files."""
    paths = sorted(directory.glob("*.json"))
    if options.compat:
        paths = [path for path in paths if path.stem in TEST_SETS]
    if not paths:
        raise DataError(f"{directory}: no held-out ids there; files such as {TEST_SETS[0]}.json are needed")
    held_out: dict[str, set[str]] = {}
    for path in paths:
        ids = read_json(path)
        if not isinstance(ids, dict | list):
            raise DataError(f"{path}: an object or a list of query ids is needed")
        listed = cast("list[Json]", list(ids))
        held_out[path.stem] = {str(key) for key in listed if isinstance(key, str) or not options.compat}
    return held_out


def _is_held_out(name: str, held_out: Mapping[str, set[str]], options: AnswerOptions) -> bool:
    group, _, file = name.partition("/")
    if options.compat:
        return any(file.split("_")[0] in ids for ids in held_out.values())
    # Query ids start over in each group, so a test set of one group says nothing about another.
    query_id = file.removesuffix(".json").split("_")[0]
    own = group.removesuffix("_answer")
    return any(query_id in ids for test_set, ids in held_out.items() if _group_of(test_set) in (own, None))


def _group_of(test_set: str) -> str | None:
    group = test_set.split("_")[0]
    return group if f"{group}_answer" in GROUPS else None


def _nothing_usable(answers: Path, names: Sequence[str], todo: Sequence[str], stats: PrepareStats) -> str:
    reasons = "".join(f", {count} skipped ({reason})" for reason, count in stats.skipped.most_common(3))
    first = f"; the first: {stats.skipped_first[0]}" if stats.skipped_first else ""
    return f"{answers}: no usable answer: {len(names)} files, {len(names) - len(todo)} held out{reasons}{first}"


# --- one file -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Piece:
    root: Path
    names: Sequence[str]
    compat: bool
    stages: bool
    strict: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    line: str
    stages: tuple[str, ...]
    deviations: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Skipped:
    name: str
    reason: str
    detail: str = ""


_Result = _Row | _Skipped


def _convert(piece: _Piece) -> list[_Result | DataError]:
    """Convert all files of a chunk; with `strict` a broken one is the last entry, after those before it."""
    results: list[_Result | DataError] = []
    for name in piece.names:
        path = piece.root / name
        try:
            results.append(_convert_one(_read_document(path), name, piece))
        except DataError as error:
            message = str(error) if str(path) in str(error) else f"{path}: {error}"
            if piece.strict:
                results.append(DataError(message))
                break
            results.append(_Skipped(name=name, reason=BROKEN, detail=message.replace(str(path), name)))
    return results


def _read_document(path: Path) -> Json:
    """Parse a JSON file with the fastest parser available; the standard parser decides on files that this refuses."""
    check_regular(path)
    try:
        return from_json(path.read_bytes())
    except (ValueError, OSError):
        return read_json(path)


def _convert_one(document: Json, name: str, piece: _Piece) -> _Result:
    task_id, metadata = name.removesuffix(".json"), {"file": name}
    if piece.compat:
        first = published_stage_1(document)
        second = first if isinstance(first, Skip) else published_stage_2(first)
        if isinstance(first, Skip) or isinstance(second, Skip):
            return _Skipped(name=name, reason=cast("Skip", second).reason)
        return _row(read_published_row(second, task_id, metadata), (first, second), {}, piece)
    reading = read_answer(document, task_id, metadata)
    if isinstance(reading, Skip):
        return _Skipped(name=name, reason=reading.reason)
    stages = _stages(document, reading.trajectory) if piece.stages else ()
    return _row(reading.trajectory, stages, reading.deviations, piece)


def _row(trajectory: Trajectory, stages: Sequence[Json], deviations: Mapping[str, int], piece: _Piece) -> _Row:
    written = tuple(dump_indented(stage) for stage in stages) if piece.stages else ()
    return _Row(line=dump_line(encode_trajectory(trajectory)), stages=written, deviations=deviations)


def _stages(document: Json, trajectory: Trajectory) -> tuple[Json, Json]:
    """Build the two raw stages of the correct reading, in the published shape."""
    second = write_processed(trajectory)
    generation = find_generation(document)
    messages = None if isinstance(generation, Skip) else generation["train_messages"]
    chain = messages[-1] if isinstance(messages, list) and messages else []
    return {"tools": second["tools"], "instruction": second["instruction"], "chains": chain}, second


# --- all files ----------------------------------------------------------------------------------------


def _workers(options: AnswerOptions, files: int) -> int:
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    wanted = options.workers or (cores if files > _ALONE else 1)
    return max(1, min(wanted, -(-files // _PIECE)))


def _convert_all(pieces: Sequence[_Piece], workers: int) -> Generator[_Result, None, None]:
    """Convert all chunks, results in order. Raises the DataError of a broken file in its turn."""
    alone = (_convert(piece) for piece in pieces)
    with closing(alone if workers == 1 else _convert_on_cores(pieces, workers)) as converted:
        for results in converted:
            for result in results:
                if isinstance(result, DataError):
                    raise result
                yield result


def _convert_on_cores(pieces: Sequence[_Piece], workers: int) -> Generator[list[_Result | DataError], None, None]:
    under_way: deque[Future[list[_Result | DataError]]] = deque()
    pool = ProcessPoolExecutor(workers, mp_context=_context(), initializer=_start_worker)
    try:
        for piece in pieces:
            with _ctrl_c_waits():
                under_way.append(pool.submit(_convert, piece))
            if len(under_way) > 2 * workers:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _context() -> BaseContext:
    """Multiprocessing context: fork, which starts at once, while this process has a single thread; else another one."""
    single = sys.platform == "linux" and sum(1 for _ in Path("/proc/self/task").iterdir()) == 1
    return multiprocessing.get_context("fork" if single else "spawn")


@contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """Context manager that blocks SIGINT: new processes inherit the mask; one that arrives is delivered afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle.
    gc.freeze()
    gc.disable()  # Decoded JSON holds no cycles; walking it for some costs a quarter of the time.

"""Files of judging: converted answers, query id lists, evaluator folders, verdicts, and the ledger of judge replies.

RUN/settings.json         judge, options, and the queries of every set
RUN/answers/SET.json      the judged answers, in ToolEval's answer format
RUN/verdicts/SET.json     by query id: the outcome and its votes
RUN/ledger.jsonl          every question asked: judge, prompt hash, replies, verdict
RUN/SET_NAME.json, .csv   with compat: the published result files
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from alpha_umi.errors import ConfigError, DataError, FormatError, explain_missing_extra
from alpha_umi.file_names import is_file_name
from alpha_umi.formats.prompts.judging import Case, Evaluator, load_evaluator
from alpha_umi.judging.convert import convert_answer, convert_trajectory, read_case
from alpha_umi.judging.reference import TEST_SETS, Rows
from alpha_umi.judging.reference_convert import PublishedConverter
from alpha_umi.judging.reference_rates import Labels
from alpha_umi.judging.verdicts import AnswerStatus, Comparison, PassVerdict, Preference, TaskStatus, Vote
from alpha_umi.record_faults import value_fault
from alpha_umi.rollouts.runner import ROLLOUTS, read_rollouts
from alpha_umi.store import Ledger, open_text, read_json, read_trajectories, write_json, write_text
from alpha_umi.text_files import check_regular
from alpha_umi.types import Json, Reference

SCHEMA = "alpha_umi.judging/1"
_SHOWN_IDS = 3


# --- conversion -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """Answers converted to ToolEval's format."""

    records: dict[str, dict[str, Json]]
    notes: Sequence[str]


def convert_file_or_folder(
    path: Path, method: str | None, compat: Reference | None, *, strict: bool = False
) -> Converted:
    """Convert trajectories, or a folder of raw answers `ID_METHOD.json`, of which broken ones are noted as no answer.

    Raises DataError for anything else, with `strict` for a broken answer, too.
    """
    if path.is_dir():
        return _convert_folder(path, method, compat, strict=strict)
    if compat is not None:
        raise ConfigError(f"{path}: --compat converts folders of raw answers; trajectories convert without it")
    records: dict[str, dict[str, Json]] = {}
    for trajectory in read_trajectories(path):
        if fault := value_fault(trajectory):
            raise DataError(f"{path}: not a trajectory: {fault}")
        if trajectory.task.id in records:
            raise DataError(f"{path}: two trajectories of task {trajectory.task.id!r}; keep one system per file")
        records[trajectory.task.id] = convert_trajectory(trajectory, method or path.stem)
    return Converted(records=records, notes=())


def convert_run(run: Path, method: str | None) -> dict[str, Converted]:
    """Convert the rollouts of a run (`umi rollout`), by query set."""
    sets: dict[str, dict[str, dict[str, Json]]] = {}
    for rollout in read_rollouts(run):
        converted = convert_trajectory(rollout.trajectory, method or rollout.method)
        sets.setdefault(rollout.set, {})[rollout.trajectory.task.id] = converted
    if not sets:
        raise DataError(f"{run}: the run has no finished rollout; go on with it by 'umi rollout --resume'")
    return {name: Converted(records=dict(sorted(records.items())), notes=()) for name, records in sets.items()}


def _convert_folder(folder: Path, method: str | None, compat: Reference | None, *, strict: bool) -> Converted:
    files = [path for path in sorted(folder.glob("*.json")) if method is None or method in path.name]
    if not files:
        if (folder / ROLLOUTS).exists():
            raise ConfigError(f"{folder}: --compat converts folders of raw answers: name {folder}/answers/SET")
        named = f" with {method!r} in its name" if method else ""
        raise DataError(f"{folder}: no .json file{named}; name the folder that holds the ID_METHOD.json files")
    if method is None:
        method = files[0].stem.partition("_")[2]
    converter = PublishedConverter(version=compat, method=method) if compat else None
    records: dict[str, dict[str, Json]] = {}
    origin: dict[str, Path] = {}
    broken: list[DataError] = []
    for path in files:
        key = path.name.partition("_")[0].removesuffix(".json")
        if key in origin and compat is None:
            raise DataError(f"{path}: query {key} was answered in {origin[key].name} already; choose by --method")
        try:
            document = read_json(path)
            records[key] = converter.convert(key, document) if converter else convert_answer(document, method)
            origin[key] = path
        except DataError as error:
            broken.append(error if str(path) in str(error) else DataError(f"{path}: {error}"))
            if strict:
                break
    if broken and (strict or not records):
        raise broken[0]
    return Converted(records=records, notes=[*_broken_notes(broken, files), *(converter.notes if converter else ())])


def _broken_notes(broken: Sequence[DataError], files: Sequence[Path]) -> list[str]:
    if not broken:
        return []
    told = f"{len(broken)} of {len(files)} files cannot be read and count as no answer (--strict stops at the first):"
    return [told, *(str(error).removeprefix(f"{files[0].parent}/") for error in broken)]


# --- test sets ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TestSet:
    """Answers of one system to one set of queries."""

    __test__ = False

    name: str
    records: Mapping[str, dict[str, Json]]
    cases: Mapping[str, Case]
    ids: Sequence[str]
    """All queries of the set, in its order."""

    @property
    def missing(self) -> list[str]:
        """List the query ids without an answer."""
        return [key for key in self.ids if key not in self.cases]


def read_sets(answers: Path, ids: Path | None = None) -> list[TestSet]:
    """Read a converted file or a folder of them; `ids`: an id file, or a folder of files of the same names."""
    files = _in_order(answers)
    if ids is not None and answers.is_dir() != ids.is_dir():
        raise ConfigError(f"{answers} and {ids}: name two files, or two folders whose files have the same names")
    return [_read_set(path, None if ids is None else ids / path.name if ids.is_dir() else ids) for path in files]


def _in_order(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = {file.stem: file for file in sorted(path.glob("*.json"))}
    if not files:
        raise DataError(f"{path}: no .json file; name a file that 'judge convert' wrote, or a folder of them")
    names = [name for name in TEST_SETS if name in files]
    return [files[name] for name in (*names, *(name for name in files if name not in names))]


def _read_set(path: Path, ids: Path | None) -> TestSet:
    document = read_json(path)
    if not isinstance(document, dict):
        raise DataError(f"{path}: not answers by query id; make it by 'umi judge convert'")
    records = cast("dict[str, dict[str, Json]]", document)
    wanted = list(records) if ids is None else read_ids(ids)
    listed = set(wanted)
    chosen = {key: record for key, record in records.items() if key in listed}
    if wanted and not chosen:
        raise DataError(
            f"{ids}: none of its {len(wanted)} query ids ({some_ids(wanted)}) is answered in {path}, which has "
            f"{some_ids(records)}; is it the id file of another set?"
        )
    cases: dict[str, Case] = {}
    for key, record in chosen.items():
        try:
            cases[key] = read_case(record)
        except DataError as error:
            raise DataError(f"{path}: query {key}: {error}") from None
    if not cases:
        raise DataError(f"{path}: holds no answer to judge")
    return TestSet(name=path.stem, records=chosen, cases=cases, ids=wanted)


def some_ids(ids: Iterable[str]) -> str:
    """Format the first few ids for a message."""
    every = list(ids)
    return ", ".join(every[:_SHOWN_IDS]) + (", ..." if len(every) > _SHOWN_IDS else "") if every else "none"


def read_ids(path: Path) -> list[str]:
    """Read query ids: the keys of an object, a list of ids, or a list of queries with `query_id`."""
    document: Any = read_json(path)
    if isinstance(document, dict):
        return list(cast("dict[str, Any]", document))
    found: list[str] = []
    for row in cast("list[Any]", document) if isinstance(document, list) else [None]:
        value: Any = cast("dict[str, Any]", row).get("query_id") if isinstance(row, dict) else row
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise DataError(f"{path}: no list of query ids: an object with them as keys, or a list, is needed")
        found.append(str(value))
    return found


def read_evaluator(folder: Path) -> Evaluator:
    """Read a ToolEval evaluator folder: `config.yaml` and the template that it names."""
    with explain_missing_extra("judge", f"{folder}: reading config.yaml"):
        import yaml
    path = folder / "config.yaml"
    with open_text(path) as text:
        try:
            config: Any = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise DataError(f"{path}: broken YAML: {error}") from None
    named = cast("dict[str, Any]", config).get("prompt_template") if isinstance(config, dict) else None
    name = str(named or "template.txt")
    if Path(name).name != name:
        raise DataError(f"{path}: prompt_template {name!r} must be a file in the same folder")
    with open_text(folder / name) as text:
        try:
            return load_evaluator(config, text.read())
        except FormatError as error:
            raise FormatError(f"{folder}: {error}") from None


# --- runs on disk ---


class LedgerRecord:
    """Persistent record of judge replies (flow.Record): a JSONL file, appended reply by reply."""

    def __init__(self, path: Path) -> None:
        self._ledger = Ledger(path)
        self._ledger.mend()
        self._rows = self._ledger.read()

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, key: str) -> Mapping[str, Json] | None:
        return self._rows.get(key)

    def keep(self, key: str, row: Mapping[str, Json]) -> None:
        self._ledger.append(key, row)
        self._rows[key] = row


def read_settings(run: Path) -> dict[str, Any]:
    """Read the settings of a judging run. Raises DataError for a folder that is none."""
    if not (run / "settings.json").exists():
        raise DataError(f"{run}: no judging run: settings.json is missing; make it by 'umi judge pass' or 'judge win'")
    settings: Any = read_json(run / "settings.json")
    if not isinstance(settings, dict) or cast("dict[str, Any]", settings).get("schema") != SCHEMA:
        raise DataError(f"{run}/settings.json: not a judging run of this version ({SCHEMA})")
    settings = cast("dict[str, Any]", settings)
    if fault := next(_settings_faults(settings), ""):
        raise DataError(f"{run}/settings.json: {fault}; was it written by 'umi judge'?")
    return settings


def _settings_faults(settings: Mapping[str, Any]) -> Iterator[str]:
    """Faults of a run's settings: names become parts of paths, and a run may be somebody else's."""
    kind, sets = settings.get("kind"), settings.get("sets")
    names = {"pass": ("name",), "win": ("reference", "candidate")}.get(str(kind))
    if names is None:
        yield f"'kind' is {kind!r}, neither 'pass' nor 'win'"
        return
    for key in (*names, "judge"):
        if not isinstance(settings.get(key), str):
            yield f"'{key}' is no text"
    if not isinstance(sets, dict):
        yield "'sets' is no object"
        return
    for name, ids in cast("dict[str, Any]", sets).items():
        if not isinstance(ids, list) or not all(isinstance(each, str) for each in cast("list[Any]", ids)):
            yield f"the queries of set {name!r} are no list of texts"
    named = [*(settings[key] for key in names if isinstance(settings.get(key), str)), *cast("dict[str, Any]", sets)]
    yield from (f"{name!r} cannot be part of a file's name" for name in named if not is_file_name(name))


@dataclass(frozen=True, slots=True, kw_only=True)
class PassRun:
    """A pass-rate run on disk."""

    path: Path
    name: str
    sets: Mapping[str, Sequence[str]] = field(repr=False)
    """The query ids of every set."""

    def cases(self, name: str) -> dict[str, Case]:
        """Read the judged answers of one set, by query id."""
        path = self.path / "answers" / f"{name}.json"
        records = cast("dict[str, Json]", read_json(path))
        return {key: read_case(record) for key, record in records.items()}

    def table(self, name: str) -> dict[str, dict[str, str]]:
        """Read the published table of one set, by query id."""
        path = self.path / f"{name}_{self.name}.csv"
        if not path.exists():
            raise DataError(f"{path}: no such file; --compat needs pass runs that were made with --compat")
        csv.field_size_limit(2**31 - 1)
        check_regular(path)
        with path.open(encoding="utf-8", newline="") as file:
            return {row["query_id"]: row for row in csv.DictReader(file, delimiter="\t")}


def read_pass_run(path: Path) -> PassRun:
    """Read a pass-rate run from its folder."""
    settings = read_settings(path)
    if settings.get("kind") != "pass":
        raise DataError(f"{path}: a {settings.get('kind')} run; 'judge win' compares two runs of 'judge pass'")
    return PassRun(path=path, name=settings["name"], sets=settings["sets"])


# --- verdicts on disk -----------------------------------------------------------------------------------


def write_verdicts(out: Path, test_set: TestSet, verdicts: Mapping[str, PassVerdict]) -> None:
    """Write the verdicts of one set, and the query ids without an answer."""
    rows: dict[str, Json] = {}
    for key in test_set.ids:
        if key not in verdicts:
            rows[key] = {"outcome": "missing", "votes": []}
            continue
        votes: list[Json] = [
            {
                "answer": vote.answer.value,
                "task": vote.task.value,
                "outcome": vote.outcome.value,
                "reason": vote.reason,
                "nonsense": vote.nonsense,
            }
            for vote in verdicts[key].votes
        ]
        rows[key] = {"outcome": verdicts[key].outcome.value, "votes": votes}
    write_json(out / "verdicts" / f"{test_set.name}.json", rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """Verdicts of a pass-rate run on one set."""

    passes: Mapping[str, PassVerdict]
    missing: Sequence[str]


def read_verdicts(run: Path, name: str) -> Verdicts:
    """Read the pass verdicts of one set of a run."""
    path = run / "verdicts" / f"{name}.json"
    rows = cast("dict[str, dict[str, Any]]", read_json(path))
    if not isinstance(cast("object", rows), dict):
        raise DataError(f"{path}: not the verdicts of a pass run: an object by query id is needed")
    try:
        passes = {
            key: PassVerdict(votes=tuple(_read_vote(vote) for vote in row["votes"]))
            for key, row in rows.items()
            if row["votes"]
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: not the verdicts of a pass run: {error!r}") from None
    return Verdicts(passes=passes, missing=[key for key in rows if key not in passes])


def _read_vote(row: Mapping[str, Any]) -> Vote:
    return Vote(
        answer=AnswerStatus(row["answer"]),
        task=TaskStatus(row["task"]),
        reason=_text(row.get("reason", "")),
        nonsense=_count(row.get("nonsense", 0)),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"{value!r} is no count")
    return value


def read_comparisons(run: Path, name: str) -> dict[str, Comparison]:
    """Read the pairwise comparisons of one set of a run."""
    path = run / "verdicts" / f"{name}.json"
    try:
        return {
            key: Comparison(
                votes=tuple(Preference(vote) for vote in row["votes"]),
                reason=_text(row["reason"]),
                nonsense=_count(row["nonsense"]),
            )
            for key, row in cast("dict[str, dict[str, Any]]", read_json(path)).items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: not the verdicts of a win run: {error!r}") from None


# --- the published result files ---


def write_published(path: Path, labels: Labels, rows: Rows) -> None:
    """Write the published result files (JSON and CSV) of one set."""
    with write_text(Path(f"{path}.json")) as text:
        json.dump(labels, text, ensure_ascii=False, indent=4)
    table = io.StringIO(newline="")
    csv.writer(table, delimiter="\t").writerows(rows)
    with write_text(Path(f"{path}.csv")) as text:
        text.write(table.getvalue())

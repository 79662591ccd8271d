"""Tables of judging runs: rates with intervals, paired tests, agreement with labels. Calls no model."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, cast

from alpha_umi.errors import ConfigError, DataError
from alpha_umi.evaluation.metrics import Metric
from alpha_umi.judging.files import read_comparisons, read_settings, read_verdicts, some_ids
from alpha_umi.judging.scores import Agreement, PassScores, agree, mcnemar, score_passes, score_wins
from alpha_umi.judging.verdicts import Outcome
from alpha_umi.report.tables import markdown_table
from alpha_umi.store import read_json
from alpha_umi.text_files import check_regular
from alpha_umi.types import Json

_MEAN = "mean of sets"
_WORDS = ("system", "set", "candidate", "reference", "first", "second", "judge", "labels")
"""Columns that hold no numbers."""


@dataclass(slots=True, kw_only=True)
class Report:
    """Tables in order, by title (a head and rows of text), and the same numbers as a document."""

    tables: dict[str, list[list[str]]] = field(default_factory=dict[str, list[list[str]]])
    document: dict[str, list[Json]] = field(default_factory=dict[str, "list[Json]"])

    def add(self, title: str, row: Mapping[str, Json | Metric]) -> None:
        """Append a row to the table `title`, and to the document."""
        table = self.tables.setdefault(title, [list(row)])
        table.append([_show(value) for value in row.values()])
        plain: dict[str, Json] = {key: _plain(value) for key, value in row.items()}
        self.document.setdefault(title, []).append(plain)

    @property
    def text(self) -> str:
        """Format all tables as text."""
        parts: list[str] = []
        for title, (head, *rows) in self.tables.items():
            left = [at for at, column in enumerate(head) if column in _WORDS]
            parts.append(f"## {title}\n\n{markdown_table(head, rows, left)}\n")
        return "\n".join(parts)


def _show(value: Json | Metric) -> str:
    if isinstance(value, Metric):
        if value.value is None:
            return "-"
        interval = "" if value.low is None else f" [{value.low:.3f}, {value.high:.3f}]"
        return f"{value.value:.3f}{interval}"
    return "-" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def _plain(value: Json | Metric) -> Json:
    if isinstance(value, Metric):
        return {"value": value.value, "low": value.low, "high": value.high, "count": value.count}
    return value


def report(runs: Sequence[Path], labels: Path | None = None) -> Report:
    """Build the report of judging runs. Raises DataError for a folder that is none, and for labels that share no query
    with them.
    """
    made = Report()
    settings = [(run, read_settings(run)) for run in runs]
    passes = [(run, each) for run, each in settings if each["kind"] == "pass"]
    for run, each in settings:
        if each["compat"] is not None:
            raise DataError(f"{run}: made with --compat, its files hold what was published; report reads other runs")
    for run, each in passes:
        _add_passes(made, run, each)
    for (first, one), (second, other) in combinations(passes, 2):
        _add_pair(made, (first, one), (second, other))
    for run, each in settings:
        if each["kind"] == "win":
            _add_wins(made, run, each)
    if labels is not None:
        for run, each in passes:
            _add_agreement(made, run, each, labels)
    return made


def describe_rates(run: Path) -> list[str]:
    """Describe the pass rate or win rate of a judging run, a line per set: percent, 95 % interval, queries.

    Raises DataError for what is no judging run, and for one that was made with --compat.
    """
    settings = read_settings(run)
    if settings["kind"] == "pass":
        scores = {name: _score_passes(run, name).pass_rate for name in settings["sets"]}
        return [f"{name}: pass rate {rate.percent} %, {rate.count} queries" for name, rate in scores.items()]
    pair = f"{settings['candidate']} over {settings['reference']}"
    wins = {name: score_wins(read_comparisons(run, name)) for name in settings["sets"]}
    return [
        f"{name}: win rate {one.win.percent} %, ties {one.tie.percent} %, {one.win.count} queries ({pair})"
        for name, one in wins.items()
    ]


def _score_passes(run: Path, name: str) -> PassScores:
    verdicts = read_verdicts(run, name)
    return score_passes(verdicts.passes, verdicts.missing)


def _add_passes(made: Report, run: Path, settings: Mapping[str, Any]) -> None:
    rates: list[tuple[Metric, Metric]] = []
    for name in settings["sets"]:
        scores = _score_passes(run, name)
        rates.append((scores.pass_rate, scores.sopr))
        made.add(
            "Pass rate",
            {
                "system": settings["name"],
                "set": name,
                "queries": scores.pass_rate.count,
                "pass rate": scores.pass_rate,
                "SoPR": scores.sopr,
                "votes": scores.votes,
                "unsure": scores.unsure,
                "no answer": scores.missing,
                "no verdict": scores.nonsense,
                "judge": settings["judge"],
            },
        )
    if len(rates) > 1:
        row: dict[str, Json | Metric] = dict.fromkeys(made.tables["Pass rate"][0], "")
        means = {key: _mean([rate[at] for rate in rates]) for at, key in enumerate(("pass rate", "SoPR"))}
        made.add("Pass rate", {**row, "system": settings["name"], "set": _MEAN, **means})


def _mean(rates: Sequence[Metric]) -> Metric:
    """Unweighted mean of the sets, as published tables average; the sets' own intervals say how reliable it is."""
    values = [rate.value for rate in rates if rate.value is not None]
    value = sum(values) / len(values) if values else None
    return Metric(value=value, count=sum(rate.count for rate in rates), low=None, high=None)


def _outcomes(run: Path, name: str) -> dict[str, Outcome]:
    verdicts = read_verdicts(run, name)
    found = {key: verdict.outcome for key, verdict in verdicts.passes.items()}
    return {**found, **dict.fromkeys(verdicts.missing, Outcome.FAILED)}


def _add_pair(made: Report, first: tuple[Path, Any], second: tuple[Path, Any]) -> None:
    shared = [name for name in first[1]["sets"] if name in second[1]["sets"]]
    if not shared:
        return
    outcomes = [
        {f"{name}/{key}": each for name in shared for key, each in _outcomes(run, name).items()}
        for run, _ in (first, second)
    ]
    test = mcnemar(*outcomes)
    made.add(
        "Paired (McNemar, exact)",
        {
            "first": first[1]["name"],
            "second": second[1]["name"],
            "both pass": test.both,
            "first only": test.first_only,
            "second only": test.second_only,
            "neither": test.neither,
            "p": test.p_value,
        },
    )


def _add_wins(made: Report, run: Path, settings: Mapping[str, Any]) -> None:
    rates: list[Metric] = []
    for name in settings["sets"]:
        scores = score_wins(read_comparisons(run, name))
        rates.append(scores.win)
        made.add(
            "Win rate",
            {
                "candidate": settings["candidate"],
                "reference": settings["reference"],
                "set": name,
                "queries": scores.win.count,
                "win (SoWR)": scores.win,
                "tie": scores.tie,
                "lose": scores.lose,
                "win + tie/2": scores.preference,
                "p": scores.p_value,
                "no verdict": scores.nonsense,
                "judge": settings["judge"],
            },
        )
    if len(rates) > 1:
        row: dict[str, Json | Metric] = dict.fromkeys(made.tables["Win rate"][0], "")
        means = {"candidate": settings["candidate"], "reference": settings["reference"], "set": _MEAN}
        made.add("Win rate", {**row, **means, "win (SoWR)": _mean(rates)})


# --- labels -------------------------------------------------------------------------------------------------


def _add_agreement(made: Report, run: Path, settings: Mapping[str, Any], labels: Path) -> None:
    names = list(settings["sets"])
    if not labels.is_dir() and len(names) > 1:
        raise ConfigError(f"{labels}: {run} has {len(names)} sets; name a folder with a label file per set")
    for name in names:
        path = _label_file(labels, name) if labels.is_dir() else labels
        if path is None:
            continue
        known = read_labels(path)
        outcomes = {key: each.value for key, each in _outcomes(run, name).items()}
        found: Agreement = agree(outcomes, known)
        if found.agreement.count == 0:
            raise DataError(
                f"{path}: none of its {len(known)} labelled queries ({some_ids(known)}) is in set {name} of {run}, "
                f"which has {some_ids(outcomes)}"
            )
        made.add(
            "Agreement with labels",
            {
                "system": settings["name"],
                "set": name,
                "labelled": found.agreement.count,
                "agreement": found.agreement,
                "kappa": found.kappa,
                "labels": path.name,
            },
        )


def _label_file(folder: Path, name: str) -> Path | None:
    return next((path for suffix in (".json", ".csv") if (path := folder / f"{name}{suffix}").exists()), None)


def read_labels(path: Path) -> dict[str, str]:
    """Read labels by query id: `passed`, `failed` or `unsure`.

    From a published pass file (.json with votes, .csv with pass_rate_label), or an object of labels, in which true and
    false are accepted. Tied votes are unsure.
    """
    if path.suffix == ".csv":
        return _read_table(path)
    document: Any = read_json(path)
    if not isinstance(document, dict):
        raise DataError(f"{path}: labels are an object by query id, or a published pass file")
    return {key: _label(path, key, value) for key, value in cast("dict[str, Any]", document).items()}


def _label(path: Path, key: str, value: Any) -> str:
    if isinstance(value, bool):
        return Outcome.PASSED if value else Outcome.FAILED
    if isinstance(value, str) and value.casefold() in list(Outcome):
        return value.casefold()
    votes = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    passed, failed = votes.get("passed"), votes.get("failed")
    if not isinstance(passed, int) or not isinstance(failed, int):
        raise DataError(f"{path}: query {key}: no label; passed, failed, unsure, true or false is needed")
    if passed == failed:
        return Outcome.UNSURE
    return Outcome.PASSED if passed > failed else Outcome.FAILED


def _read_table(path: Path) -> dict[str, str]:
    csv.field_size_limit(2**31 - 1)
    check_regular(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        return {row["query_id"]: _label(path, row["query_id"], row["pass_rate_label"]) for row in rows}
    except KeyError as error:
        raise DataError(
            f"{path}: column {error} is missing; a published pass table (tab-separated) is needed"
        ) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None

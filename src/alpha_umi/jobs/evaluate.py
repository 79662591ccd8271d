"""Evaluation of predictions and of retrieval, and retrieval of APIs for a query."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

from alpha_umi.config.calls import validated
from alpha_umi.errors import ConfigError, DataError
from alpha_umi.evaluation.metrics import Metric
from alpha_umi.evaluation.reference import PublishedScores
from alpha_umi.evaluation.static import StaticReport, evaluate_beside, evaluate_rows, report_document, report_text
from alpha_umi.formats.steps import StepShape
from alpha_umi.jobs.bfcl import evaluate_bfcl
from alpha_umi.jobs.exact_answers import evaluate_gsm8k, evaluate_math
from alpha_umi.jobs.groups import VerbGroup
from alpha_umi.jobs.options import AtLeastOne
from alpha_umi.jobs.tau2 import evaluate_tau2
from alpha_umi.jobs.toolalpaca import evaluate_toolalpaca
from alpha_umi.output_lock import locks_out
from alpha_umi.retrieval import Retriever, load_corpus
from alpha_umi.retrieval.retriever import Hit
from alpha_umi.retrieval.scores import load_gold, score
from alpha_umi.store import write_json, write_text
from alpha_umi.text_files import read_json_list
from alpha_umi.types import Json, Reference

Shape: TypeAlias = Literal["multi-agent", "backbone"]
_Scored = TypeVar("_Scored")


@validated
@locks_out
def evaluate_static(
    predictions: Path,
    out: Path,
    *,
    constrained: Path | None = None,
    compat: Literal[Reference.ALPHA_UMI] | None = None,
    shape: Shape | None = None,
) -> StaticReport:
    """Score predicted steps: plan accuracy, action exact match, argument F1, hallucination rate, ROUGE-L, intervals.

    `out`: where the numbers (.json) and the tables (.md) go; `constrained`: the same steps predicted with a constraint,
    to be shown beside them; `shape`: with `compat`, of which published script. Raises DataError naming the file.
    """
    if constrained is not None and compat is not None:
        raise ConfigError("--constrained compares two predictions by our own metrics; leave out --compat")
    rows, chosen = read_json_list(predictions), None if shape is None else StepShape(shape)
    report = _explained(predictions, lambda: evaluate_rows(rows, published=compat is not None, shape=chosen))
    if constrained is not None:
        report = _explained(constrained, lambda: evaluate_beside(rows, read_json_list(constrained)))
    write_json(out, report_document(report))
    if isinstance(report, PublishedScores):
        write_json(out.with_name("hallu_cases.json"), [rows[index] for index in report.hallucinated])
    with write_text(out.with_suffix(".md")) as file:
        file.write(report_text(report))
    return report


def _explained(path: Path, scored: Callable[[], _Scored]) -> _Scored:
    try:
        return scored()
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalScores:
    """Recall@k and NDCG@k by test set."""

    apis: int
    """APIs that are searched."""
    queries: int
    sets: Mapping[str, Mapping[str, Metric]]
    """By set; `all` last where there are several."""
    notes: Sequence[str] = ()

    def to_json(self) -> dict[str, Json]:
        """JSON object of the results."""
        sets: dict[str, Json] = {
            name: {key: {"value": m.value, "low": m.low, "high": m.high, "count": m.count} for key, m in each.items()}
            for name, each in self.sets.items()
        }
        return {"apis": self.apis, "sets": sets}


@validated
@locks_out
def evaluate_retrieval(
    queries: Path,
    *,
    tools: Path | None = None,
    index: Path | None = None,
    model: str | None = None,
    out: Path | None = None,
) -> RetrievalScores:
    """Score retrieval by test set with 95 % intervals, by default over the APIs that the queries list.

    `queries`: a query file with 'relevant APIs', or a folder of them; `tools`, `index`, `model`: as `open_retriever`;
    `out`: where the figures go (.json). Raises DataError for what holds no queries.
    """
    files = sorted(queries.glob("*.json")) if queries.is_dir() else [queries]
    if not files:
        raise DataError(f"{queries}: holds no query files (.json)")
    gold = {path.stem: load_gold(path) for path in files}
    retriever = open_retriever(queries if tools is None and index is None else tools, index, model)
    everything = [query for set_queries, _ in gold.values() for query in set_queries]
    sets = {name: score(retriever, set_queries) for name, (set_queries, _) in gold.items()}
    sets |= {"all": score(retriever, everything)} if len(gold) > 1 else {}
    scores = RetrievalScores(
        apis=len(retriever.corpus),
        queries=len(everything),
        sets=sets,
        notes=tuple(note for _, odd in gold.values() for note in odd),
    )
    if out is not None:
        write_json(out, scores.to_json())
    return scores


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievedApis:
    """APIs that fit a query, the best first."""

    apis: int
    """APIs that were searched."""
    hits: Sequence[Hit]

    def to_json(self) -> dict[str, Json]:
        """JSON object of the results."""
        hits: list[Json] = [
            {"score": hit.score, "category": hit.api.category, "tool": hit.api.tool, "name": hit.api.name}
            for hit in self.hits
        ]
        return {"apis": self.apis, "hits": hits}


@validated
def retrieve(
    query: str,
    *,
    tools: Path | None = None,
    index: Path | None = None,
    model: str | None = None,
    k: AtLeastOne = 5,
    save: Path | None = None,
) -> RetrievedApis:
    """Find the `k` APIs that fit a query best. `save`: a folder that keeps the index. Raises as `open_retriever`."""
    retriever = open_retriever(tools, index, model)
    if save is not None:
        retriever.save(save)
    return RetrievedApis(apis=len(retriever.corpus), hits=tuple(retriever.rank(query, k)))


def open_retriever(tools: Path | None, index: Path | None, model: str | None) -> Retriever:
    """A retriever over declared APIs (`tools`: tool JSON files, query files, or a corpus.tsv), or a saved index.

    `model`: a SentenceTransformer (folder or hub id) in place of BM25. Raises ConfigError where neither or both are
    named, DataError for broken files.
    """
    if index is not None:
        if tools is not None or model is not None:
            raise ConfigError("--index holds its APIs and its encoder; leave out --tools and --model, or --index")
        return Retriever.load(index)
    if tools is None:
        raise ConfigError("name where APIs are declared by --tools, or a saved index by --index")
    return Retriever.index(load_corpus(tools), model)


class EvaluateVerbs(VerbGroup):
    """Score predictions: `evaluate.static`, `evaluate.retrieval`, `.gsm8k`, `.math`, `.bfcl`, `.toolalpaca`,
    `.tau2`.

    `evaluate("static", ...)` is `evaluate.static(...)`, as on the command line.
    """

    static = staticmethod(evaluate_static)
    retrieval = staticmethod(evaluate_retrieval)
    gsm8k = staticmethod(evaluate_gsm8k)
    math = staticmethod(evaluate_math)
    bfcl = staticmethod(evaluate_bfcl)
    toolalpaca = staticmethod(evaluate_toolalpaca)
    tau2 = staticmethod(evaluate_tau2)


evaluate = EvaluateVerbs()

"""The verbs of retrieval: APIs for a query, and how well they are found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from alpha_umi.errors import ConfigError

ToolsOption = Annotated[
    Path | None, typer.Option(help="Where APIs are declared: tool JSON files, query files, or a corpus.tsv.")
]
IndexOption = Annotated[Path | None, typer.Option("--index", help="A saved index, in place of --tools.")]
ModelOption = Annotated[str | None, typer.Option(help="A SentenceTransformer (folder or hub id) in place of BM25.")]


def retrieve(
    query: Annotated[str, typer.Argument(help="What to do.")],
    tools: ToolsOption = None,
    index: IndexOption = None,
    model: ModelOption = None,
    k: Annotated[int, typer.Option("--k", min=1, help="How many APIs.")] = 5,
    save: Annotated[Path | None, typer.Option(help="Also keep the index in this folder.")] = None,
) -> None:
    """The APIs that fit a query best, with their scores."""
    retriever = _open(tools, index, model)
    if save is not None:
        retriever.save(save)
    hits = retriever.rank(query, k)
    for hit in hits:
        print(f"{hit.score:8.3f}  {hit.api.category} / {hit.api.tool} / {hit.api.name}")
    if not hits:
        print(f"none of {len(retriever.corpus)} APIs shares a word with the query")


def evaluate_retrieval(
    queries: Annotated[Path, typer.Option(help="A query file with 'relevant APIs', or a folder of them.")],
    tools: ToolsOption = None,
    index: IndexOption = None,
    model: ModelOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="Also write the figures here (.json).")] = None,
) -> None:
    """Recall@k and NDCG@k by test set, with 95 % intervals; by default over the APIs that the queries list."""
    from alpha_umi.errors import DataError
    from alpha_umi.retrieval.scores import load_gold, score
    from alpha_umi.store import write_json

    files = sorted(queries.glob("*.json")) if queries.is_dir() else [queries]
    if not files:
        raise DataError(f"{queries}: holds no query files (.json)")
    gold = {path.stem: load_gold(path) for path in files}
    retriever = _open(queries if tools is None and index is None else tools, index, model)
    everything = [query for set_queries, _ in gold.values() for query in set_queries]
    figures = {name: score(retriever, set_queries) for name, (set_queries, _) in gold.items()}
    figures |= {"all": score(retriever, everything)} if len(gold) > 1 else {}
    _print_figures(figures, f"{len(retriever.corpus)} APIs, {len(everything)} queries")
    for _, odd in gold.values():
        for note in odd:
            print(f"  {note}")
    if out is not None:
        document = {
            name: {key: {"value": m.value, "low": m.low, "high": m.high, "count": m.count} for key, m in each.items()}
            for name, each in figures.items()
        }
        write_json(out, {"apis": len(retriever.corpus), "sets": document})
        print(out)


def _open(tools: Path | None, index: Path | None, model: str | None) -> Any:
    from alpha_umi.retrieval import Retriever, load_corpus

    if index is not None:
        if tools is not None or model is not None:
            raise ConfigError("--index holds its APIs and its encoder; leave out --tools and --model, or --index")
        return Retriever.load(index)
    if tools is None:
        raise ConfigError("name where APIs are declared by --tools, or a saved index by --index")
    return Retriever.index(load_corpus(tools), model)


def _print_figures(figures: Any, title: str) -> None:
    from rich.console import Console

    from alpha_umi.display import print_table

    keys = list(next(iter(figures.values())))
    rows = [
        [name, *(f"{each[key].value:.3f} ±{(each[key].high - each[key].low) / 2:.3f}" for key in keys)]
        for name, each in figures.items()
    ]
    print_table(Console(), title, ["set", *keys], rows)

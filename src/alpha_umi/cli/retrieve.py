"""Verbs of API retrieval: search by query, and evaluation by recall and NDCG."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from alpha_umi.cli.output import AsJson, print_json
from alpha_umi.cli.streams import echo

ToolsOption = Annotated[
    Path | None, typer.Option(help="Where APIs are declared: tool JSON files, query files, or a corpus.tsv.")
]
IndexOption = Annotated[Path | None, typer.Option("--index", help="A saved index, in place of --tools.")]
ModelOption = Annotated[str | None, typer.Option(help="A SentenceTransformer (folder or hub id) in place of BM25.")]


def retrieve_apis(
    query: Annotated[str, typer.Argument(help="What to do.")],
    tools: ToolsOption = None,
    index: IndexOption = None,
    model: ModelOption = None,
    k: Annotated[int, typer.Option("--k", min=1, help="How many APIs.")] = 5,
    save: Annotated[Path | None, typer.Option(help="Also keep the index in this folder.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Find the APIs that fit a query best, with their scores."""
    from alpha_umi.jobs.evaluate import retrieve

    found = retrieve(query, tools=tools, index=index, model=model, k=k, save=save)
    if as_json:
        print_json(found.to_json())
        return
    for hit in found.hits:
        echo(f"{hit.score:8.3f}  {hit.api.category} / {hit.api.tool} / {hit.api.name}")
    if not found.hits:
        echo(f"none of {found.apis} APIs shares a word with the query")


def evaluate_queries(
    queries: Annotated[Path, typer.Option(help="A query file with 'relevant APIs', or a folder of them.")],
    tools: ToolsOption = None,
    index: IndexOption = None,
    model: ModelOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="Also write the figures here (.json).")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Score Recall@k and NDCG@k by test set, with 95 % intervals; by default over the APIs that the queries list."""
    from alpha_umi.jobs.evaluate import evaluate_retrieval

    scores = evaluate_retrieval(queries, tools=tools, index=index, model=model, out=out)
    if as_json:
        print_json(scores.to_json())
        return
    _print_figures(scores.sets, f"{scores.apis} APIs, {scores.queries} queries")
    for note in scores.notes:
        echo(f"  {note}")
    if out is not None:
        echo(out)


def _print_figures(figures: Any, title: str) -> None:
    from rich.console import Console

    from alpha_umi.display import print_table

    keys = list(next(iter(figures.values())))
    rows = [
        [name, *(f"{each[key].value:.3f} ±{(each[key].high - each[key].low) / 2:.3f}" for key in keys)]
        for name, each in figures.items()
    ]
    print_table(Console(), title, ["set", *keys], rows)

"""Verb `umi report`: a run of rollouts as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alpha_umi.cli.streams import echo
from alpha_umi.output_lock import locks_out


@locks_out
def write_report(
    run: Annotated[Path, typer.Argument(help="A run of 'umi rollout', or its rollouts.jsonl.")],
    out: Annotated[Path, typer.Option("--out", help="The page to write (.html).")],
    shown: Annotated[int, typer.Option(min=1, help="Trajectories that are shown of each set.")] = 200,
) -> None:
    """Write rollouts as one self-contained HTML page: scores by set, trajectories turn by turn, search trees."""
    from alpha_umi.errors import DataError
    from alpha_umi.report.rollouts import rollout_report
    from alpha_umi.rollouts.runner import read_rollouts
    from alpha_umi.store import write_text

    rollouts = list(read_rollouts(run))
    if not rollouts:
        raise DataError(f"{run}: holds no finished task; make some by 'umi rollout'")
    with write_text(out) as text:
        text.write(rollout_report(run.absolute().name if run.is_dir() else run.stem, rollouts, shown))
    echo(f"{out}: {len(rollouts)} rollouts")

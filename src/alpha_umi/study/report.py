"""Report of a study from the files of its cells: numbers (JSON), tables (Markdown) and figures (SVG)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alpha_umi.config import StudyConfig
from alpha_umi.errors import ConfigError
from alpha_umi.report.figures import unavailable_reason
from alpha_umi.store import write_json, write_text
from alpha_umi.study.cells import cells
from alpha_umi.study.figures import draw_losses, draw_scaling, draw_variants
from alpha_umi.study.provenance import read_done
from alpha_umi.study.results import results
from alpha_umi.study.text import results_text


def write_report(config: StudyConfig, out: Path) -> Path:
    """Write `report/results.json`, `report/study.md` and its figures from the cells that are done; return the folder.

    Where matplotlib is missing, the text says so in place of the figures. Raises ConfigError where no cell is done, or
    one was measured with other settings.
    """
    folder = out / "report"
    done, notes = read_done(config, out)
    if not done:
        raise ConfigError(f"{out}: no cell of study {config.name!r} is done there; name its folder with --out")
    found, missing = results(config, done, notes), unavailable_reason()
    write_json(folder / "results.json", found)
    figures = [] if missing else _write_figures(config, found, out, folder)
    with write_text(folder / "study.md") as text:
        text.write(results_text({**found, "notes": [*notes, missing] if missing else notes}, figures))
    return folder


def _write_figures(config: StudyConfig, found: Mapping[str, Any], out: Path, folder: Path) -> list[tuple[str, str]]:
    """Write the figures; returns a title and a file name for each."""
    runs = {
        f"{config.variants[cell.variant].title}, {cell.base}": cell.folder(out) / "run"
        for cell in cells(config)
        if cell.seed == config.seeds[0] and config.variants[cell.variant].scales is None
    }
    drawn = {
        "Variants; hollow: unseen tools": ("variants.svg", draw_variants(found)),
        "Less data": ("scaling.svg", draw_scaling(found)),
        "Losses": ("losses.svg", draw_losses(runs)),
    }
    figures: list[tuple[str, str]] = []
    for title, (name, figure) in drawn.items():
        if figure is not None:
            with write_text(folder / name) as text:
                text.write(figure)
            figures.append((title, name))
    return figures

"""The report of a study from what its cells left behind."""

from __future__ import annotations

from pathlib import Path

from alpha_umi.config import StudyConfig
from alpha_umi.errors import ConfigError
from alpha_umi.store import write_json, write_text
from alpha_umi.study.cells import cells
from alpha_umi.study.figures import draw_losses, draw_scaling, draw_variants
from alpha_umi.study.made import read_done
from alpha_umi.study.results import results
from alpha_umi.study.text import results_text


def write_report(config: StudyConfig, out: Path) -> Path:
    """`report/results.json`, `report/study.md` and its pictures, from the cells that are done; the folder.

    Raises ConfigError where none is, or one was measured with other settings.
    """
    folder = out / "report"
    done, notes = read_done(config, out)
    if not done:
        raise ConfigError(f"{out}: no cell of study {config.name!r} is done there; name its folder with --out")
    found = results(config, done, notes)
    write_json(folder / "results.json", found)
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
    pictures: list[tuple[str, str]] = []
    for title, (name, picture) in drawn.items():
        if picture is not None:
            with write_text(folder / name) as text:
                text.write(picture)
            pictures.append((title, name))
    with write_text(folder / "study.md") as text:
        text.write(results_text(found, pictures))
    return folder

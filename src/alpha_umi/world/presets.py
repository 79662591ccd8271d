"""Presets: the worlds by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from alpha_umi.errors import ConfigError
from alpha_umi.world.catalogue import Catalogue
from alpha_umi.world.problems import Problem
from alpha_umi.world.table.configs import FULL, SMALL
from alpha_umi.world.table.tasks import SPLITS, draw_problem
from alpha_umi.world.tiny import tasks as tiny
from alpha_umi.world.tiny.tools import CATALOGUE as TINY


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A world by name: its version, catalogue, splits and problems."""

    name: str
    version: str
    """Changes with anything that changes a task, a fact or a tool."""
    open: Callable[[], Catalogue]
    """Its catalogue, which takes some milliseconds to make."""
    splits: tuple[str, ...]
    """`train` and the test sets."""
    draw: Callable[[int, str, int], Problem]
    """(seed, split, index) -> the problem; always the same within a version."""


PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            name=tiny.NAME,
            version=tiny.VERSION,
            open=lambda: TINY,
            splits=tuple(tiny.Split),
            draw=tiny.draw_problem,
        ),
        *(
            Preset(
                name=config.name,
                version=config.version,
                open=lambda config=config: config.toolset.catalogue,
                splits=SPLITS,
                draw=partial(draw_problem, config),
            )
            for config in (SMALL, FULL)
        ),
    )
}


def find_preset(name: str) -> Preset:
    """The preset of that name. Raises ConfigError, which names the known ones."""
    if name not in PRESETS:
        raise ConfigError(f"unknown world preset {name!r}; known: {', '.join(PRESETS)}")
    return PRESETS[name]

"""Tasks of the table presets for several tests, each drawn once."""

from functools import cache

from alpha_umi.world import PRESETS, TestSet, World

NAMES_OF_PRESETS = ("small", "full")
WORLDS = {name: World(name) for name in NAMES_OF_PRESETS}
SETS = [test_set.value for test_set in TestSet]


def catalogue(preset):
    return PRESETS[preset].open()


@cache
def problem(preset, split, index):
    return PRESETS[preset].draw(0, split, index)


def problems(preset, count, splits=None):
    """Some of every split, train first."""
    return [problem(preset, split, index) for split in splits or ("train", *SETS) for index in range(count)]

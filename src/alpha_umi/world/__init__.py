"""Sealed, executable world of tools: tasks, an oracle that does them and an exact verifier.

Everything is a pure function of (preset, seed, split, index): no network, no clock, no files but the package's own
tables.

    world = World()
    task = world.task(Split.TRAIN, 0)
    world.verify(task, world.gold(task)).passed  # True
"""

from alpha_umi.deprecation import moved_names
from alpha_umi.world.answers import answer_document
from alpha_umi.world.presets import PRESETS
from alpha_umi.world.problems import Perturbation
from alpha_umi.world.table.tasks import find_query, query_id
from alpha_umi.world.table.toolset import TestSet
from alpha_umi.world.tiny.tasks import VERSION, Split
from alpha_umi.world.tiny.tools import TOOLS
from alpha_umi.world.tools import Seen, Tool
from alpha_umi.world.universe import World
from alpha_umi.world.verifier import Verdict

__all__ = [
    "PRESETS",
    "TOOLS",
    "VERSION",
    "Perturbation",
    "Seen",
    "Split",
    "TestSet",
    "Tool",
    "Verdict",
    "World",
    "answer_document",
    "find_query",
    "query_id",
]

__getattr__ = moved_names(__name__)

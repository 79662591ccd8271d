"""Configurations of the table worlds `small` and `full`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from alpha_umi.types import ToolStatus
from alpha_umi.world.problems import Perturbation
from alpha_umi.world.table.categories import CATEGORIES
from alpha_umi.world.table.toolset import Group, Toolset


@dataclass(frozen=True, kw_only=True)
class TableWorldConfig:
    """Configuration of a table world: its categories, and the shares of its tasks.

    Mappings hold relative weights; other numbers are percents, of tasks where no field names another whole.
    """

    name: str
    version: str
    categories: tuple[str, ...]
    calls: Mapping[int, int]
    """Calls of the shortest solution -> weight."""
    groups: Mapping[Group, int]
    """Weights in training."""
    perturbations: Mapping[Perturbation, int]
    failures: tuple[tuple[ToolStatus, str], ...]
    """Status and text of observations of a provider that is down; OK: its reply is empty."""
    tools: tuple[int, int]
    """Fewest and most tools offered."""
    redundant_providers: int
    """Tasks that offer a second provider without need."""
    two_intents: int
    options: int
    """Intents with a value for an optional input."""
    conversions: int
    """Intents that ask for a price in another currency."""
    contexts: int
    """Queries with a sentence before what they ask."""
    hinted: int
    """Of the tasks with a provider that is down: gold trajectories that are a later branch of a search."""
    failed_branch: int
    """Training tasks whose gold trajectory follows a failed branch, which called a tool of no use or gave up."""
    synthetic: int
    """Training tasks with synthetic providers."""
    replaced: int = 85
    """Providers of such a task that are synthetic."""

    @cached_property
    def toolset(self) -> Toolset:
        """Tools of the preset; loaded when first needed."""
        return Toolset.of(self.categories)


_FAILURES = (
    (ToolStatus.ERROR, "{tool} is down"),
    (ToolStatus.RATE_LIMITED, "{tool} is over its limit"),
    (ToolStatus.TIMEOUT, "{tool} did not answer"),
    (ToolStatus.OK, "{{}}"),
)

SMALL = TableWorldConfig(
    name="small",
    version="4",
    categories=("Location", "Weather", "Travel", "Finance", "Social", "eCommerce", "Movies"),
    calls={1: 55, 2: 30, 3: 15},
    groups={Group.G1: 40, Group.G2: 25, Group.G3: 35},
    perturbations={
        Perturbation.NONE: 70,
        Perturbation.FALLBACK: 10,
        Perturbation.FORMER_NAME: 5,
        Perturbation.UNKNOWN_ENTITY: 4,
        Perturbation.DOWN: 5,
        Perturbation.NO_TOOL: 4,
        Perturbation.MISSING: 2,
    },
    failures=_FAILURES,
    tools=(3, 5),
    redundant_providers=8,
    two_intents=10,
    options=20,
    conversions=8,
    contexts=0,
    hinted=10,
    failed_branch=8,
    synthetic=70,
)
FULL = TableWorldConfig(
    name="full",
    version="4",
    categories=CATEGORIES,
    calls={1: 30, 2: 25, 3: 18, 4: 13, 5: 8, 6: 6},
    groups={Group.G1: 35, Group.G2: 25, Group.G3: 40},
    perturbations={
        Perturbation.NONE: 60,
        Perturbation.FALLBACK: 15,
        Perturbation.FORMER_NAME: 6,
        Perturbation.UNKNOWN_ENTITY: 4,
        Perturbation.DOWN: 6,
        Perturbation.NO_TOOL: 5,
        Perturbation.MISSING: 4,
    },
    failures=(
        *_FAILURES,
        (ToolStatus.ERROR, "internal server error in {tool}"),
        (ToolStatus.ERROR, "{tool} is under maintenance, try another provider"),
        (ToolStatus.ERROR, "no subscription for {tool}"),
        (ToolStatus.RATE_LIMITED, "too many requests to {tool} within a minute"),
        (ToolStatus.TIMEOUT, "{tool} timed out after 10 s"),
        (ToolStatus.OK, "[]"),
        (ToolStatus.OK, '{{"results": []}}'),
    ),
    tools=(4, 9),
    redundant_providers=15,
    two_intents=20,
    options=25,
    conversions=10,
    contexts=30,
    hinted=25,
    failed_branch=8,
    synthetic=70,
)

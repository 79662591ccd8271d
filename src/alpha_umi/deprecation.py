"""Names of the previous version: old import paths, keys and flags keep working for one version, with a warning.

`MOVED` maps an old module to those that hold its names now; a finder on the import path serves it.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

PACKAGE = "alpha_umi"
MOVED: dict[str, tuple[str, ...]] = {
    "build": ("loading.agents", "loading.formats", "loading.models", "loading.judges", "loading.bundled"),
    "build.bundled": ("loading.bundled",),
    "build.environments": ("loading.environments",),
    "build.rollouts": ("loading.rollouts",),
    "cli.flywheel": ("cli.rejection_sampling",),
    "datasets.published": ("datasets.reference",),
    "environments.published": ("environments.reference",),
    "evaluation.judge": ("judging.runs",),
    "evaluation.judge_report": ("judging.report",),
    "evaluation.judging": ("judging",),
    "evaluation.judging.convert": ("judging.convert",),
    "evaluation.judging.flow": ("judging.flow",),
    "evaluation.judging.held": ("judging.fallback",),
    "evaluation.judging.labels": ("judging.labels",),
    "evaluation.judging.published": ("judging.reference",),
    "evaluation.judging.published_convert": ("judging.reference_convert",),
    "evaluation.judging.published_rates": ("judging.reference_rates",),
    "evaluation.judging.rules": ("judging.rules",),
    "evaluation.judging.scores": ("judging.scores",),
    "evaluation.judging.verdicts": ("judging.verdicts",),
    "evaluation.judging_files": ("judging.files",),
    "evaluation.published": ("evaluation.reference",),
    "evaluation.query_sets": ("rollouts.query_sets",),
    "evaluation.rollouts": ("rollouts.runner",),
    "formats.hints": ("formats.prompts.hints",),
    "formats.judging": ("formats.prompts.judging",),
    "formats.learn": ("formats.learning.learn",),
    "formats.learn_steps": ("formats.learning.steps",),
    "formats.processed": ("formats.learning.processed",),
    "formats.retrieval": ("formats.prompts.retrieval",),
    "formats.simulator": ("formats.prompts.simulator",),
    "formats.wrappers": ("formats.learning.wrappers",),
    "jobs.clock": ("jobs.timing",),
    "jobs.cluster": ("jobs.ray",),
    "jobs.flywheel": ("jobs.preferences",),
    "jobs.side_by_side": ("jobs.workers",),
    "models.decoding": ("models.padded",),
    "models.engine.memory": ("models.engine.kv_cache",),
    "models.engine.trie": ("models.engine.radix_tree",),
    "models.held": ("models.constrained",),
    "models.writing": ("models.generation",),
    "preparation.published_targets": ("preparation.reference_targets",),
    "search.compat": ("search.reference",),
    "training.cache": ("training.data.cache",),
    "report.curves": ("report.training",),
    "study.made": ("study.provenance",),
    "training.corpus": ("training.data.corpus",),
    "training.counts": ("training.planning.counts",),
    "training.curves": ("report.training",),
    "training.examples": ("training.data.examples",),
    "training.footprint": ("training.planning.footprint",),
    "training.labels": ("training.data.labels",),
    "training.order": ("training.data.order",),
    "training.packing": ("training.data.packing",),
    "training.plan": ("training.planning.estimate",),
    "training.plan_text": ("training.planning.text",),
    "training.passes": ("training.losses",),
    "training.spread": ("training.distributed",),
    "training.survey": ("training.planning.survey",),
    "training.watch": ("training.callbacks",),
    "world.chance": ("world.random_streams",),
    "world.invention": ("world.pseudowords",),
    "world.phrases": ("world.table.wording",),
    "world.player": ("world.oracle_agent",),
    "world.wide": ("world.table",),
    "world.wide.imagined": ("world.table.synthetic",),
    "world.wide.market": ("world.table.toolset",),
    "world.wide.mixes": ("world.table.configs",),
    "world.wide.names": ("world.table.names",),
    "world.wide.plans": ("world.table.plans",),
    "world.wide.sides": ("world.table.split",),
    "world.wide.tables": ("world.table.providers", "world.table.categories"),
    "world.wide.tasks": ("world.table.tasks", "world.table.configs"),
    "world.wide.vocabulary": ("world.table.vocabulary",),
    "world.wide.wording": ("world.table.wording",),
}
"""Old module -> the modules that have its names now, below `alpha_umi`."""

SPLIT: dict[str, tuple[str, ...]] = {
    "jobs": ("jobs.train", "jobs.predict", "jobs.ask", "preparation.reading", "errors"),
    "demo": ("demo.session",),
    "report": ("report.rollouts", "report.page", "report.turns", "report.training"),
    "training.data": ("training.data.batches",),
    "world": ("world.problems",),
}
"""Packages whose own names moved into modules; each ends with `__getattr__ = moved_names(__name__)`."""

RENAMED: dict[str, dict[str, str]] = {
    "jobs.flywheel": {
        "Harvest": "RejectionSamplingResult",
        "HarvestOptions": "RejectionSamplingOptions",
        "harvest": "rejection_sample",
    },
    "build": {"Cast": "AgentKind"},
    "jobs": {"Outlook": "PlanAssumptions", "unheld": "unconstrained_arguments"},
    "jobs.cluster": {"Member": "RayWorker", "crew_on_ray": "ray_pool"},
    "jobs.clock": {"Clock": "Timing"},
    "jobs.side_by_side": {"Show": "OnUpdate", "Tell": "OnProgress", "work_on": "run_items"},
    "build.bundled": {"MADE": "PROVENANCE", "made_with": "provenance_of", "write_made": "write_provenance"},
    "evaluation.judging.held": {"HeldModel": "FallbackModel"},
    "models.decoding": {"PlainRunner": "PaddedRunner"},
    "models.engine.memory": {"Memory": "KVCache", "Shape": "KVShape"},
    "models.engine.trie": {"Trie": "RadixTree"},
    "models.held": {"Held": "GrammarMatcher", "HeldTokenizer": "GrammarCompiler"},
    "models.writing": {"Writer": "Generation", "choose": "sample"},
    "world": {"Trouble": "Perturbation"},
    "world.chance": {
        "Draws": "RandomStream",
        "drawn": "random_bits",
        "drawn_between": "random_integer",
        "drawn_from": "random_choice",
    },
    "world.invention": {"invent_word": "draw_pseudoword"},
    "world.phrases": {"bare": "normalized_words"},
    "world.player": {"Oracle": "OracleAgent"},
    "world.wide.imagined": {"Imagination": "SyntheticProviders"},
    "world.wide.market": {"Market": "Toolset"},
    "world.wide.plans": {
        "Chosen": "OptionValue",
        "Made": "Derived",
        "Wish": "Intent",
        "in_order": "topological_order",
    },
    "world.wide.sides": {"SHARE": "TEST_ODDS"},
    "world.wide.tasks": {"Mix": "TableWorldConfig"},
    "training.curves": {"Pictures": "RunReport"},
}
"""Old module -> {old name: new name}, for what was renamed as well."""


RENAMED_FLAGS = {"--held": "--constrained", "--free": "--unconstrained"}


class RenamedWarning(FutureWarning):
    """Use of a name that the next version drops; the message has the new one."""


def warn_renamed(old: str, new: str, where: str = "", *, stacklevel: int = 3) -> None:
    """Warn that `old` (a key, a flag, a name; in `where`, if given) is called `new` now."""
    place = f"{where}: " if where else ""
    warnings.warn(
        f"{place}{old} is called {new} now; the old name goes with the next version", RenamedWarning, stacklevel
    )


def renamed_flags(arguments: Sequence[str]) -> list[str]:
    """Replace flags of the previous version in command-line arguments by their present names, each with a warning."""
    renamed = list[str]()
    for number, argument in enumerate(arguments):
        if argument == "--":
            return [*renamed, *arguments[number:]]
        flag, equals, value = argument.partition("=")
        if flag in RENAMED_FLAGS:
            warn_renamed(flag, RENAMED_FLAGS[flag])
            argument = f"{RENAMED_FLAGS[flag]}{equals}{value}"
        renamed.append(argument)
    return renamed


def moved_names(module: str) -> Callable[[str], Any]:
    """Make a module `__getattr__` for a package whose old names are in other modules now.

    Raises AttributeError for other names.
    """
    old = module.removeprefix(f"{PACKAGE}.")
    return _lookup(module, SPLIT.get(old, ()), RENAMED.get(old, {}))


def _lookup(module: str, targets: Sequence[str], renamed: dict[str, str]) -> Callable[[str], Any]:
    def find(name: str) -> Any:
        new = renamed.get(name, name)
        homes = [importlib.import_module(f"{PACKAGE}.{target}") for target in targets if not name.startswith("__")]
        having = [home for home in homes if hasattr(home, new)]
        own = [home for home in having if getattr(getattr(home, new), "__module__", None) == home.__name__]
        for home in (own or having)[:1]:
            warn_renamed(f"{module}.{name}", f"{home.__name__}.{new}")
            return getattr(home, new)
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return find


class _OldModules(MetaPathFinder, Loader):
    """Finder and loader of old import paths as aliases of modules."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        old = fullname.removeprefix(f"{PACKAGE}.")
        return ModuleSpec(fullname, self, is_package=True) if old != fullname and old in MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        old = module.__name__.removeprefix(f"{PACKAGE}.")
        vars(module)["__getattr__"] = _lookup(module.__name__, MOVED[old], RENAMED.get(old, {}))


def called_as(module: str, function: str) -> None:
    """Let a module be called as the function that had its import path in the previous version, with a warning."""

    class CalledModule(ModuleType):
        def __call__(self, *positional: Any, **named: Any) -> Any:
            warn_renamed(f"{module}()", f"{module}.{function}")
            return getattr(self, function)(*positional, **named)

    sys.modules[module].__class__ = CalledModule


def serve_old_modules() -> None:
    """Serve old import paths from now on; called once, by the package."""
    if not any(isinstance(finder, _OldModules) for finder in sys.meta_path):
        sys.meta_path.insert(0, _OldModules())  # first: an old folder with caches in it would be a namespace package

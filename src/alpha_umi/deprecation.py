"""Names of the previous version: old import paths, keys and flags keep working for one version, with a warning.

`MOVED` maps an old module to those that hold its names now; a finder on the import path serves it.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
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
    "agent": {"Hear": "OnToken", "Speaker": "RoleModel", "Undecided": "OnNoDecision", "overheard": "with_streaming"},
    "build": {
        "Cast": "AgentKind",
        "HeldModel": "FallbackModel",
        "MADE": "PROVENANCE",
        "Speaker": "RoleModel",
        "THREE": "AGENT_ROLES",
        "Undecided": "OnNoDecision",
    },
    "build.bundled": {"MADE": "PROVENANCE", "made_with": "provenance_of", "write_made": "write_provenance"},
    "config": {"MadeConfig": "ProvenanceConfig"},
    "config.agents": {"MadeConfig": "ProvenanceConfig"},
    "demo.measures": {"count_errors": "describe_errors", "hold": "constrain", "why_free": "unsupported_reason"},
    "demo.page": {"Shown": "ShownTask", "show_results": "print_results"},
    "evaluation.judging.held": {"HeldModel": "FallbackModel"},
    "evaluation.rollouts": {"Places": "Environments"},
    "jobs": {"Outlook": "PlanAssumptions", "unheld": "unconstrained_arguments"},
    "jobs.bundle": {"Parcel": "BundleOptions"},
    "jobs.clock": {"Clock": "Timing"},
    "jobs.cluster": {"Member": "RayWorker", "crew_on_ray": "ray_pool"},
    "jobs.flywheel": {
        "Harvest": "RejectionSamplingResult",
        "HarvestOptions": "RejectionSamplingOptions",
        "harvest": "rejection_sample",
    },
    "jobs.rollout": {"Crew": "WorkerPool", "crew_here": "local_pool"},
    "jobs.side_by_side": {"Show": "OnUpdate", "Tell": "OnProgress", "work_on": "run_items"},
    "models.adapters": {"add_pair": "add_lora", "base_mark": "base_fingerprint"},
    "models.architectures": {"obstacle": "unsupported_reason"},
    "models.checkpoint": {"add_adapter": "merge_adapter"},
    "models.decoding": {"PlainRunner": "PaddedRunner", "decode_batch": "generate_batch"},
    "models.engine.attention": {"Part": "Chunk", "Step": "ForwardBatch"},
    "models.engine.engine": {"Room": "EngineLimits", "why_plain": "unsupported_reason"},
    "models.engine.memory": {"Memory": "KVCache", "Shape": "KVShape"},
    "models.engine.scheduler": {"Counts": "EngineStats", "Plan": "ScheduledBatch"},
    "models.engine.trie": {"Trie": "RadixTree", "NONE": "EMPTY", "Numbers": "TokenArray"},
    "models.engine.worker": {"Turns": "DeviceQueue"},
    "models.held": {"Held": "GrammarMatcher", "HeldTokenizer": "GrammarCompiler"},
    "models.writing": {"Writer": "Generation", "choose": "sample", "Likeliest": "Argmax", "likeliest_of": "argmax_of"},
    "preparation.report": {"Tally": "PrepareStats"},
    "serving.virtual_tools.app": {"Terms": "AppOptions"},
    "study.made": {"made_with": "provenance"},
    "training.attention": {
        "forest_logits": "packed_trees_logits",
        "forest_loss": "packed_trees_loss",
        "suits": "unsupported_reason",
    },
    "training.curves": {"Pictures": "RunReport"},
    "training.data": {"Shares": "RankBatches", "StepShare": "RankBatch", "Units": "TokenizedTrajectories"},
    "training.examples": {"Sight": "FittedTarget", "sights": "fitted_targets"},
    "training.glpft": {"Material": "TrainInputs"},
    "training.labels": {"Sequenced": "TokenizedExample", "Tagging": "AdapterAssignment", "Unit": "TokenizedTrajectory"},
    "training.packing": {
        "Forest": "PackedTrees",
        "Labelled": "WeightedExample",
        "fill": "bin_pack",
        "join": "concatenate",
        "plant": "pack_prefix_trees",
    },
    "training.passes": {"Passes": "LossComputer"},
    "training.pretrain": {"Ground": "PretrainInputs"},
    "training.recipe": {"ROLES": "AGENT_ROLES"},
    "training.run_directory": {"leaving_nothing": "cleanup_on_error"},
    "training.sft": {"computes_narrow": "computes_in_low_precision"},
    "training.start": {"narrow_frozen": "cast_frozen"},
    "training.watch": {"Watch": "StageCallback", "stopping_gently": "graceful_interrupt"},
    "world": {"Trouble": "Perturbation"},
    "world.chance": {
        "Draws": "RandomStream",
        "drawn": "random_bits",
        "drawn_between": "random_integer",
        "drawn_from": "random_choice",
    },
    "world.invention": {"invent_word": "draw_pseudoword"},
    "world.needs": {
        "Ask": "IntentTemplate",
        "Find": "OutputRule",
        "Owed": "AnswerPart",
        "another": "other_name",
        "clock": "random_time",
        "code": "code_of",
        "converted": "converted_amount",
        "fixed": "constant",
        "given": "input_value",
        "looked_up": "table_value",
        "name_of": "random_name",
        "number": "random_number",
        "temperature": "random_temperature",
    },
    "world.phrases": {"bare": "normalized_words"},
    "world.player": {"Oracle": "OracleAgent"},
    "world.problems": {"HOPELESS": "UNSOLVABLE", "Trouble": "Perturbation"},
    "world.reading": {"plain": "normalize", "takes_back": "is_retraction", "wavers": "is_hedged"},
    "world.tiny.names": {"STRANGERS": "UNKNOWN_ENTITIES"},
    "world.wide.imagined": {"Imagination": "SyntheticProviders"},
    "world.wide.market": {"Market": "Toolset"},
    "world.wide.plans": {"Chosen": "OptionValue", "Made": "Derived", "Wish": "Intent", "in_order": "topological_order"},
    "world.wide.sides": {"SHARE": "TEST_ODDS"},
    "world.wide.tasks": {"Mix": "TableWorldConfig"},
}
"""Old module -> {old name: new name}; of modules that have their old path, and of those that moved."""


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


class _WithOldNames(SourceFileLoader):
    """Loader of a module in which names were replaced; the old ones are looked up with a warning."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        renamed = RENAMED[module.__name__.removeprefix(f"{PACKAGE}.")]

        def find(name: str) -> Any:
            if name not in renamed:
                raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
            warn_renamed(f"{module.__name__}.{name}", f"{module.__name__}.{renamed[name]}")
            return getattr(module, renamed[name])

        vars(module)["__getattr__"] = find


class _OldModules(MetaPathFinder, Loader):
    """Finder of modules that moved or hold renamed names, and loader of those that moved."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        old = fullname.removeprefix(f"{PACKAGE}.")
        if old == fullname or (old not in MOVED and old not in RENAMED):
            return None
        if old in MOVED:
            return ModuleSpec(fullname, self, is_package=True)
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader and old not in SPLIT:
            spec.loader = _WithOldNames(spec.loader.name, spec.loader.path)
        return spec

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

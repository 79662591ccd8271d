"""Bundled agents by name, and the provenance of an agent: the format and world version it was trained with.

An agent is only served by the format that it learned, and only measured in the version of the world that it learned
in: its `provenance.json` names both, and they are checked before it is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from alpha_umi.config import AgentConfig, LocalConfig, ProvenanceConfig, TrainConfig, load_config
from alpha_umi.deprecation import warn_renamed
from alpha_umi.errors import CheckpointError, ConfigError
from alpha_umi.formats.fingerprint import fingerprint
from alpha_umi.loading.hub import fetch_run, is_repository
from alpha_umi.loading.pretrained import is_here
from alpha_umi.protocols import Format
from alpha_umi.store import read_json, read_trajectories, write_json
from alpha_umi.types import Json, Role, Task

FOLDER = Path(__file__).parents[1] / "bundled"
DEFAULT = "umi-tiny"
"""The default agent, which knows its own sealed world."""
OWN_TOOLS = "umi-smol"
"""The default agent for tools of a user's own."""
OWN_TOOLS_BASE = "smollm2-135m"
"""Its base model, which does not come with it."""
PROVENANCE = "provenance.json"
_OLD_PROVENANCE = "made.json"
_OTHER_VERSION = "use the package version that came with the agent, or train another"
_SAFE, _PICKLED = ".safetensors", (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def default_agent(*, own_tools: bool, folder: Path = FOLDER) -> str:
    """Name the default agent: for tools of a user's own where that one comes along with its base, else of its world."""
    return OWN_TOOLS if own_tools and (folder / OWN_TOOLS).is_dir() and is_here(OWN_TOOLS_BASE) else DEFAULT


def find_run(name: Path) -> Path:
    """Find the file or folder of a path, the bundled agent of a name, or the local folder of a Hugging Face repository.

    Raises CheckpointError for none of these.
    """
    if name.exists():
        return name
    if (FOLDER / name).is_dir() and str(name) == name.name:
        return FOLDER / name
    if str(name) == DEFAULT:
        raise CheckpointError(
            f"{DEFAULT}: this copy of the package comes without its bundled agent; make one by 'make umi-tiny' and "
            "name its run directory by --agent, or install a released wheel"
        )
    if is_repository(str(name)):
        return fetch_run(str(name))
    raise CheckpointError(f"{name}: no such run directory or agent file, and no bundled agent of that name")


def bundled_provenances() -> Iterator[ProvenanceConfig]:
    """Provenances of the bundled agents, by name."""
    for file in sorted(FOLDER.glob(f"*/{PROVENANCE}")):
        yield ProvenanceConfig.model_validate(read_json(file))


def find_base(name: str) -> Path:
    """Find the base model from which a bundled agent was trained.

    Raises CheckpointError where it does not come along.
    """
    base = FOLDER / name / "base"
    if not base.is_dir():
        raise CheckpointError(
            f"{name}: this copy of the package comes without the base model of its bundled agent; make one by "
            "'make pretrain' and train from it ('umi train'), or install a released wheel"
        )
    return base


def find_weights(name: str) -> str:
    """Return the folder of `AGENT/backbone` or `AGENT/base` of a bundled agent; any other name or path unchanged."""
    folder = FOLDER / name
    return str(folder) if (folder / "config.json").is_file() and not Path(name).exists() else name


def find_adapters(name: str, folder: Path = FOLDER) -> str:
    """Return the folder of `AGENT/backbone` or `AGENT/roles` of a bundled agent; any other name or path unchanged."""
    return str(folder / name) if (folder / name).is_dir() and not Path(name).exists() else name


def provenance_of(run: Path, config: AgentConfig, form: Format, preset: str) -> ProvenanceConfig:
    """Return the provenance of a run's agent, as it is recorded.

    Without a record, the version of the world is that of its training data where they tell it, or this package's.

    Raises ConfigError for an unknown preset, and for another one than the run says.
    """
    from alpha_umi.world.presets import find_preset

    version = find_preset(preset).version
    if config.provenance is None:
        world = _learned_in(run, preset) or version
        return ProvenanceConfig(agent=run.absolute().name, format=fingerprint(form), preset=preset, world=world)
    if config.provenance.preset != preset:
        raise ConfigError(f"{run}: was made in the world {config.provenance.preset!r}, not in {preset!r}; name that")
    return config.provenance


def _learned_in(run: Path, preset: str) -> str | None:
    """Version of the world of a run's first trajectories."""
    path = run / "config.toml"
    files = load_config(TrainConfig, path).data.train if path.exists() else ()
    for file in (Path(name) for name in files):
        if file.suffix != ".json" and file.exists():
            for trajectory in islice(read_trajectories(file), 1):
                told = trajectory.task.metadata
                if told.get("preset") == preset and isinstance(told.get("world"), str):
                    return str(told["world"])
    return None


def write_provenance(run: Path, provenance: ProvenanceConfig) -> None:
    """Write the provenance of a run's agent into its directory."""
    write_json(run / PROVENANCE, provenance.model_dump())


def read_provenance(run: Path) -> dict[str, Json]:
    """Read the key `provenance` of an agent's configuration, where its run directory has one."""
    if (run / PROVENANCE).exists():
        return {"provenance": read_json(run / PROVENANCE)}
    if (run / _OLD_PROVENANCE).exists():
        warn_renamed(_OLD_PROVENANCE, PROVENANCE, str(run))
        return {"provenance": read_json(run / _OLD_PROVENANCE)}
    return {}


def check_format(provenance: ProvenanceConfig, form: Format) -> None:
    """Check that `form` writes the prompts that the agent learned. Raises CheckpointError where it does not."""
    if fingerprint(form) != provenance.format:
        raise CheckpointError(
            f"{provenance.agent}: was made with another version of the format {form.name!r} ({provenance.format}, this "
            f"package has {fingerprint(form)}); {_OTHER_VERSION}"
        )


def check_world(provenance: ProvenanceConfig) -> None:
    """Check that the world has the version that the agent learned in. Raises CheckpointError where it has not."""
    from alpha_umi.world import PRESETS

    now = PRESETS[provenance.preset].version if provenance.preset in PRESETS else "none"
    if now != provenance.world:
        raise CheckpointError(f"{_made(provenance)}, this package has {now}; {_OTHER_VERSION}")


def check_tasks(provenance: ProvenanceConfig, tasks: Iterable[Task]) -> None:
    """Check the world's version of tasks. Raises CheckpointError where it is not the one that the agent learned in."""
    for task in tasks:
        version = task.metadata.get("world")
        if task.metadata.get("preset") == provenance.preset and version != provenance.world:
            raise CheckpointError(
                f"{_made(provenance)}, the task {task.id!r} is of {version}; make tasks by the package version that "
                "came with the agent, or train another"
            )


def _made(provenance: ProvenanceConfig) -> str:
    return f"{provenance.agent}: was made in version {provenance.world} of the world {provenance.preset!r}"


def check_weights(run: Path, config: AgentConfig) -> None:
    """Check that no weights are a pickle, which may run code. Raises CheckpointError for a run directory with one."""
    for role in Role:
        named = config.roles.get(role)
        folders = named.folders if isinstance(named, LocalConfig) else ()
        for folder in (Path(each) for each in folders if Path(each).is_dir()):
            endings = {file.suffix for file in folder.iterdir()}
            if _SAFE not in endings and endings & {*_PICKLED}:
                raise CheckpointError(
                    f"{run}: the weights in {folder} are pickled, which may run code when they are loaded; a run "
                    "directory only loads safetensors: convert them, or name their folder in an agent file of your own"
                )

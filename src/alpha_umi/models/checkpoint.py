"""Loading of model weights and tokenizers from folders, hub ids and GGUF files, with errors that name the cause."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from alpha_umi.errors import CheckpointError
from alpha_umi.formats.chat_templates import ChatUse, TemplateTokenizer, template_fault
from alpha_umi.models.adapter_patterns import check_patterns
from alpha_umi.models.decoder_files import open_decoder
from alpha_umi.models.fast_tokenizer import FastTokenizer, open_tokenizer
from alpha_umi.models.gguf_reader import is_gguf, open_gguf
from alpha_umi.models.gguf_tokenizer import read_fast_tokenizer, read_tokenizer
from alpha_umi.models.gguf_weights import read_config, read_model
from alpha_umi.models.hub_access import check_access
from alpha_umi.models.tokenizer_check import differs_from_file

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

_LOG = logging.getLogger(__name__)
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def pick_device(name: str) -> str:
    """Resolve a device name; `auto`: an accelerator where there is one. Raises CheckpointError for an unknown one."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"device {name!r} cannot be used: {reason}; use 'cpu' or 'auto'") from None
    return name


def pick_dtype(name: str, device: str) -> torch.dtype | str:
    """Resolve a dtype name; `auto`: float32 on a CPU, elsewhere as the weights are stored."""
    if name == "auto":
        return torch.float32 if device == "cpu" else "auto"
    return _DTYPES[name]


def load_to_run(
    name: str, chat: ChatUse | None, dtype: torch.dtype | str, device: str, *, trust_remote_code: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a model, on the CPU, and its tokenizer to be run on `device`, without transformers where known.

    What is then loaded has all that is used of transformers' own, whose import takes longer than a first token.
    Arguments and errors are those of `load_tokenizer` and `load_weights`.
    """
    _check_folder(name)
    plain = device == "cpu" and isinstance(dtype, torch.dtype) and not trust_remote_code
    found = _open_fast_tokenizer(name) if plain else None
    if found is not None:
        _check_template(found, name, chat)
    tokenizer = load_tokenizer(name, chat, trust_remote_code=trust_remote_code) if found is None else found
    model = open_decoder(name, dtype) if plain and isinstance(dtype, torch.dtype) else None
    if model is None:
        model = load_weights(name, dtype, trust_remote_code=trust_remote_code)
    return cast("PreTrainedModel", model), cast("PreTrainedTokenizerBase", tokenizer)


def _open_fast_tokenizer(name: str) -> FastTokenizer | None:
    if is_gguf(name):
        return read_fast_tokenizer(open_gguf(Path(name)))
    return open_tokenizer(Path(name)) if Path(name).is_dir() else None


def load_weights(
    name: str, dtype: torch.dtype | str = torch.float32, *, trust_remote_code: bool = False
) -> PreTrainedModel:
    """Load a causal language model from a folder, a hub id or a GGUF file, on the CPU.

    `trust_remote_code`: run Python code that the checkpoint brings. Raises CheckpointError.
    """
    _check_folder(name)
    if is_gguf(name):
        with quiet():
            return read_model(open_gguf(Path(name)), dtype)
    from transformers import AutoModelForCausalLM

    with _explained(name, "weights"), quiet():
        return cast("PreTrainedModel", _trusted(AutoModelForCausalLM, name, trust_remote_code, dtype=dtype))


def load_config(name: str, *, trust_remote_code: bool = False) -> PreTrainedConfig:
    """Load the configuration of a model alone. `trust_remote_code`: as load_weights. Raises CheckpointError."""
    _check_folder(name)
    if is_gguf(name):
        return read_config(open_gguf(Path(name)))
    from transformers import AutoConfig

    with _explained(name, "configuration"), quiet():
        return cast("PreTrainedConfig", _trusted(AutoConfig, name, trust_remote_code))


def load_tokenizer(
    name: str, chat: ChatUse | None = None, *, trust_remote_code: bool = False
) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a folder, a hub id or a GGUF file. `chat`: how its chat template will be used.

    One that reads text otherwise than its own tokenizer.json is used, with a warning. Raises CheckpointError, also
    where the template cannot be used so.
    """
    _check_folder(name)
    if is_gguf(name):
        tokenizer: PreTrainedTokenizerBase = read_tokenizer(open_gguf(Path(name)))
    else:
        from transformers import AutoTokenizer

        with _explained(name, "tokenizer"), quiet():
            tokenizer = cast("PreTrainedTokenizerBase", _trusted(AutoTokenizer, name, trust_remote_code))
        if (difference := differs_from_file(tokenizer, name)) is not None:
            _LOG.warning("%s: %s", name, difference)
    _check_template(tokenizer, name, chat)
    return tokenizer


def _check_template(tokenizer: TemplateTokenizer, name: str, chat: ChatUse | None) -> None:
    if chat is not None and (fault := template_fault(tokenizer, chat)) is not None:
        raise CheckpointError(f"{name}: {fault}")


def merge_adapter(model: PreTrainedModel, adapter: str) -> PreTrainedModel:
    """Merge a LoRA folder into the weights of `model`. Settings that PEFT does not know are ignored, with a warning.

    Raises CheckpointError when it is none or does not fit.
    """
    from peft import PeftConfig, PeftModel

    if not Path(adapter, "adapter_config.json").is_file():
        raise CheckpointError(f"{adapter}: no adapter here (a folder with adapter_config.json is needed)")
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always", UserWarning)  # of settings that this PEFT does not know
            config = PeftConfig.from_pretrained(adapter)
        for warning in warned:
            _LOG.warning("%s: %s", adapter, warning.message)
        if getattr(config, "alora_invocation_tokens", None):
            raise CheckpointError(f"{adapter}: an activated LoRA, which cannot be merged; a plain LoRA is needed")
        check_patterns(adapter, config.to_dict(), [name for name, _ in model.named_modules()])
        with quiet(), warnings.catch_warnings():
            # PEFT warns of missing and of surplus keys, which here means that the adapter does not fit.
            warnings.simplefilter("error", UserWarning)
            warnings.simplefilter("ignore", FutureWarning)
            merged = PeftModel.from_pretrained(model, adapter, config=config).merge_and_unload()
    except CheckpointError:
        raise
    except Exception as error:  # PEFT raises errors of many kinds: KeyError, RuntimeError, ValueError, ...
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise CheckpointError(f"{adapter}: this adapter does not fit the base model: {reason}") from error
    return cast("PreTrainedModel", merged)


def _trusted(loader: Any, name: str, trust_remote_code: bool, **options: Any) -> object:
    """Load by one of transformers' Auto classes.

    Where it is told neither yes nor no it asks on the standard input, and a `y` there runs the code.
    """
    if trust_remote_code:
        _LOG.warning("%s: Python code that comes with it is run (trust_remote_code = true)", name)
    return loader.from_pretrained(name, trust_remote_code=trust_remote_code, **options)


def _check_folder(name: str) -> None:
    path = Path(name)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise CheckpointError(f"{name}: not a model: the folder has no config.json")
    elif path.exists() and not is_gguf(name):
        raise CheckpointError(f"{name}: is a file; a model is a folder with config.json and weights, or a .gguf file")
    elif is_gguf(name):
        if not path.exists():
            raise CheckpointError(f"{name}: no such file")
    elif path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise CheckpointError(f"{name}: no such folder; name a folder with a model, or a hub id (owner/name)")
    else:
        check_access(name)


@contextmanager
def _explained(name: str, what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # transformers raises OSError, ValueError, KeyError, safetensors' own, ...
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        if "trust_remote_code" in str(error):
            raise CheckpointError(
                f"{name}: its {what} is Python code that it brings, which is not run; if you have read that code, set "
                "trust_remote_code = true ([model] of a recipe, a role of an agent file, or the option)"
            ) from error
        raise CheckpointError(f"{name}: the {what} cannot be loaded: {reason}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the progress bars and notes of transformers inside; this package shows its own."""
    from transformers.utils import logging as transformers_logging

    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()

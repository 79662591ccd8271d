"""Pretraining of a small base language model on texts, for GLPFT to start from.

Its tokenizer is learned from the same texts and holds the special tokens of a format, so that a model need not grow
when it learns to act. One stage of supervised training in which every token after the first is learned.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np
from accelerate import PartialState
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alpha_umi.config import PretrainConfig
from alpha_umi.errors import ConfigError, DataError
from alpha_umi.formats.tokens import Tokenizer, content_ids, end_ids, well_formed
from alpha_umi.protocols import Format
from alpha_umi.store import write_json
from alpha_umi.text_files import read_json_rows
from alpha_umi.training.callbacks import StageProgress
from alpha_umi.training.data.batches import Packing, StepData
from alpha_umi.training.data.labels import TokenizedExample, TokenizedTrajectory, part_codes
from alpha_umi.training.data.order import Amount, order
from alpha_umi.training.run_directory import check_place, claim, cleanup_on_error, document_of
from alpha_umi.training.sft import Stage, finished, forget_checkpoints, train_stage
from alpha_umi.training.start import tiny_model
from alpha_umi.training.tokenizer import learn_tokenizer
from alpha_umi.types import Json, Part, Role

BASE = "base"
"""The folder of the model in a run directory, and the name of its history."""
_FREE_TO_CHANGE = ("out", "save_every", "log_every", "device", "workers", "tokens_per_microbatch", "tokens_per_pass")
_TOKENIZER_TEXTS = 5000
"""Texts from which a tokenizer is learned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainInputs:
    """Inputs of a run beside its configuration."""

    format: Format
    format_document: Mapping[str, Json]
    on_progress: Callable[[StageProgress], object] | None = None
    """Called in the first process after every step, and after every line of the history."""


def run(config: PretrainConfig, inputs: PretrainInputs, *, resume: bool = False) -> Path:
    """Pretrain on all texts and return the folder of the model, in its run directory.

    Raises ConfigError when the directory holds another run, or this one and `resume` is off, DataError for a line
    that is no text; KeyboardInterrupt after Ctrl-C, when what is done is saved.
    """
    out, process = Path(config.out), PartialState(cpu=config.device == "cpu")
    is_new = check_place(out, document_of(config), resume=resume, free=_FREE_TO_CHANGE)
    process.wait_for_everyone()
    with cleanup_on_error(out if is_new else None):
        texts = read_texts([Path(path) for path in config.texts])
    if is_new and process.is_main_process:
        claim(out, config, inputs.format_document)
    process.wait_for_everyone()
    folder, marker = out / BASE, _fingerprint(config, texts)
    if finished(folder) is None:
        _train(config, inputs, texts, folder, marker)
    done = finished(folder) or {}
    if done.get("fingerprint") != marker:
        raise ConfigError(f"{folder}: read other texts; name another 'out' or remove this folder")
    forget_checkpoints(folder)
    if process.is_main_process:
        write_json(out / "metrics.json", {BASE: {name: done[name] for name in done if name != "fingerprint"}})
    return folder


def read_texts(paths: Sequence[Path]) -> list[str]:
    """Read the texts of files, JSON Lines or a JSON list. Raises DataError naming the row that holds none."""
    texts: list[str] = []
    for path in paths:
        for row in read_json_rows(path):
            text = row.value.get("text") if isinstance(row.value, dict) else None
            if not isinstance(text, str) or not text:
                raise DataError(f'{row.where}: not a text; write one {{"text": "..."}} per line')
            texts.append(well_formed(text))
    if not texts:
        raise DataError(f"{', '.join(map(str, paths))}: no texts to learn from")
    return texts


class TextUnits:
    """Source of tokenized texts with a loss on all of each, from its second token to its end mark."""

    def __init__(self, texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, end: int, max_length: int) -> None:
        self._texts = texts
        self._tokenizer = tokenizer
        self._end = end
        self._max_length = max_length

    def __getitem__(self, index: int) -> TokenizedTrajectory:
        ids = [*content_ids(cast("Tokenizer", self._tokenizer), self._texts[index]), self._end]
        cut = len(ids) > self._max_length
        kept = np.array(ids[: self._max_length], dtype=np.int32)
        parts = part_codes([Part.ANSWER] * (len(kept) - 2))
        example = TokenizedExample(role=Role.BACKBONE, number=0, ids=kept, parts=parts, cut=cut)
        return TokenizedTrajectory(id=f"text {index}", targets=1, examples=(example,))

    @property
    def modules(self) -> list[str]:
        """Modules to import in a process that makes units."""
        return [type(self._tokenizer).__module__]

    @property
    def sizes(self) -> np.ndarray:
        """Number of characters of each text, [n]."""
        return np.array([len(text) for text in self._texts])


def _train(config: PretrainConfig, inputs: PretrainInputs, texts: Sequence[str], folder: Path, marker: str) -> None:
    form = inputs.format
    sample = islice(texts, 0, None, max(1, len(texts) // _TOKENIZER_TEXTS))
    tokenizer = learn_tokenizer(
        sample, vocab_size=config.model.vocab_size, special_tokens=form.special_tokens, end=form.end
    )
    model = tiny_model(config.model, tokenizer, config.seed)
    settings = config.stage
    end = end_ids(cast("Tokenizer", tokenizer), form.end)[0]
    steps = order(
        np.ones(len(texts), dtype=np.int64),
        Amount(batch_size=settings.batch_size, epochs=settings.epochs, max_steps=settings.max_steps),
        seed=config.seed,
    )
    packing = Packing(tokens_per_microbatch=config.tokens_per_microbatch, max_length=config.max_length)
    stage = Stage(
        name=BASE,
        model=model,
        data=StepData(
            TextUnits(texts, tokenizer, end, config.max_length), steps, packing, PartialState().num_processes
        ),
        settings=settings,
        run=config.as_run(),
        out=folder,
        history=Path(config.out) / "history" / f"{BASE}.jsonl",
        write=lambda path, weights: _write(path, model, tokenizer, weights),
        on_progress=inputs.on_progress,
    )
    train_stage(stage, {"fingerprint": marker, "parameters": model.num_parameters()})


def _write(
    folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, weights: Mapping[str, Tensor]
) -> None:
    model.save_pretrained(folder, state_dict=dict(weights))
    tokenizer.save_pretrained(folder)


def _fingerprint(config: PretrainConfig, texts: Sequence[str]) -> str:
    """Fingerprint of a run's training: configuration and texts, independent of their paths."""
    digest = hashlib.sha256()
    kept = {name: value for name, value in document_of(config).items() if name not in (*_FREE_TO_CHANGE, "texts")}
    digest.update(json.dumps(kept, sort_keys=True).encode())
    for text in texts:
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()[:16]

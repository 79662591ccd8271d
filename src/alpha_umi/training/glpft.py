"""GLPFT, the paper's two-stage training: a backbone learns whole steps, then each role is tuned from it.

A run directory describes itself: `umi.toml` (the agent), `format.json`, `config.toml`, one folder per model
with weights and tokenizer, `history/ROLE.jsonl`, `metrics.json`. A stage's folder is there only when the stage
is done, so an interrupted run goes on where it was; `umi.toml` comes last.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Protocol, cast

from accelerate import PartialState
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alpha_umi.config import AgentConfig, LocalConfig, RolesConfig, SamplingsConfig, TrainConfig, read_toml, resolved
from alpha_umi.errors import CheckpointError, ConfigError
from alpha_umi.formats.fit import Window
from alpha_umi.formats.tokens import Tokenizer, completion_ids, prompt_ids
from alpha_umi.models.checkpoint import load_tokenizer, load_weights
from alpha_umi.protocols import Format
from alpha_umi.store import write_json, write_text
from alpha_umi.training.examples import make_examples
from alpha_umi.training.rows import Pair, Rows
from alpha_umi.training.sft import Stage, finished, train_stage
from alpha_umi.training.start import hold_tokens, tiny_model
from alpha_umi.training.tokenizer import learn_tokenizer
from alpha_umi.types import Json, Role, Trajectory

STAGES = (Role.BACKBONE, Role.PLANNER, Role.CALLER, Role.SUMMARIZER)
_FREE_TO_CHANGE = ("out", "save_every", "log_every", "device")
"""What a resumed run may be told anew: it leaves the result as it is."""
_TOKENIZER_TEXTS = 500
"""Trajectories from which a tokenizer is learned."""
_RECENT = 64
"""Prompts whose ids are at hand."""


class StoredFormat(Format, Protocol):
    """A format that can be kept in a run directory."""

    def to_document(self) -> dict[str, Json]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a run learns from, and in which format."""

    trajectories: Sequence[Trajectory]
    validation: Sequence[Trajectory] = ()
    format: StoredFormat


def run(config: TrainConfig, material: Material, *, resume: bool = False) -> Path:
    """Train all four models and return the run directory.

    Raises ConfigError when the directory holds another run, or this one and `resume` is off; KeyboardInterrupt
    after Ctrl-C, when what is done is saved.
    """
    out, process = Path(config.out), PartialState(cpu=config.device == "cpu")
    fingerprint = _fingerprint(config, material)
    if process.is_main_process:
        _claim(out, config, material, resume=resume)
    process.wait_for_everyone()
    metrics: dict[str, Json] = {}
    for role in STAGES:
        done = finished(out / role.value)
        if done is None:
            _train(role, config, material, fingerprint)
            done = finished(out / role.value) or {}
        elif done.get("fingerprint") != fingerprint:
            raise ConfigError(f"{out / role.value}: trained on other data; name another 'out' or remove this folder")
        metrics[role.value] = {name: value for name, value in done.items() if name != "fingerprint"}
    if process.is_main_process:
        write_json(out / "metrics.json", metrics)
        with write_text(out / "umi.toml") as text:
            text.write(resolved(_agent(config)))
    process.wait_for_everyone()
    return out


def _train(role: Role, config: TrainConfig, material: Material, fingerprint: str) -> None:
    out = Path(config.out)
    if role is Role.BACKBONE:
        tokenizer, model = _start(config, material)
    else:
        folder = str(out / Role.BACKBONE.value)
        tokenizer, model = load_tokenizer(folder), load_weights(folder)
    source = _Source(material.format, tokenizer, config)
    rows, counts = source.rows(role, material.trajectories[: config.data.limit])
    validation = source.rows(role, material.validation)[0] if material.validation else None
    stage = Stage(
        name=role.value,
        model=model,
        tokenizer=tokenizer,
        rows=rows,
        validation=validation,
        settings=config.stages.of(role),
        run=config,
        out=out / role.value,
        history=out / "history" / f"{role.value}.jsonl",
    )
    train_stage(stage, {"fingerprint": fingerprint, "parameters": model.num_parameters(), "examples": counts})


def _start(config: TrainConfig, material: Material) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
    """The tokenizer and the model that the backbone starts from."""
    tiny, format = config.model.tiny, material.format  # noqa: A001
    if tiny is not None:
        texts = _texts(material.trajectories[: config.data.limit], format)
        tokenizer = learn_tokenizer(
            texts, vocab_size=tiny.vocab_size, special_tokens=format.special_tokens, end=format.end
        )
        return tokenizer, tiny_model(tiny, tokenizer, config.seed)
    base = cast("str", config.model.base)
    tokenizer, model = load_tokenizer(base), load_weights(base)
    context = getattr(model.config, "max_position_embeddings", None)
    if context is not None and context < config.max_length:
        raise CheckpointError(f"{base}: reads {context} tokens at most; set max_length (now {config.max_length}) to it")
    hold_tokens(model, tokenizer, format.special_tokens)
    return tokenizer, model


def _texts(trajectories: Sequence[Trajectory], format: Format) -> Iterator[str]:  # noqa: A002
    """Texts with the words of the data: every completion, and the longest prompt of every role."""
    stride = max(1, len(trajectories) // _TOKENIZER_TEXTS)
    for trajectory in trajectories[::stride]:
        for role in STAGES:
            rows = make_examples(trajectory, role, format).rows
            yield from (row.completion for row in rows)
            yield from (row.prompt for row in rows[-1:] if isinstance(row.prompt, str))


class _Source:
    """Rows of ids from trajectories."""

    def __init__(self, format: Format, tokenizer: PreTrainedTokenizerBase, config: TrainConfig) -> None:  # noqa: A002
        self._format = format
        self._tokenizer = cast("Tokenizer", tokenizer)
        self._max_length = config.max_length
        # The prompts of a trajectory are counted to fit them and then taken: tokenise them once for both.
        self._ids = lru_cache(maxsize=_RECENT)(partial(prompt_ids, self._tokenizer))
        self._window = Window(limit=config.prompt_limit, count=lambda prompt: len(self._ids(prompt)))

    def rows(self, role: Role, trajectories: Iterable[Trajectory]) -> tuple[Rows, dict[str, Json]]:
        """The rows of a role, and how many examples were taken, cut and left out."""
        cut = left_out = 0

        def pairs(trajectory: Trajectory) -> Iterator[Pair]:
            nonlocal cut, left_out
            made = make_examples(trajectory, role, self._format, self._window)
            cut, left_out = cut + made.cut, left_out + made.left_out
            for example in made.rows:
                completion = completion_ids(self._tokenizer, example.completion, self._format.end)
                yield self._ids(example.prompt), completion

        rows = Rows(map(pairs, trajectories), self._max_length)
        return rows, {
            "taken": rows.examples,
            "rows": len(rows),
            "cut": cut,
            "left_out": left_out + rows.left_out,
            "tokens": rows.tokens,
            "completion_tokens": rows.completion_tokens,
        }


# --- the run directory ------------------------------------------------------------------------------------


def _agent(config: TrainConfig) -> AgentConfig:
    """The agent of a run directory; its paths are relative to it."""
    roles = RolesConfig(**{role.value: LocalConfig(model=role.value) for role in STAGES})
    return AgentConfig(
        format="format.json",
        roles=roles,
        sampling=SamplingsConfig(max_tokens=config.max_length - config.prompt_limit),
        max_input_tokens=config.prompt_limit,
    )


def _claim(out: Path, config: TrainConfig, material: Material, *, resume: bool) -> None:
    """Make `out` this run's directory, or make sure that it is."""
    kept = out / "config.toml"
    if not kept.exists():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ConfigError(f"{out}: is there and is no run directory; name another 'out'")
        write_json(out / "format.json", material.format.to_document())
        with write_text(kept) as text:
            text.write(resolved(config))
        return
    changes = sorted(_changes(read_toml(kept), _document(config)))
    if changes:
        raise ConfigError(f"{out}: holds a run with another configuration ({'; '.join(changes)}); name another 'out'")
    if not resume:
        raise ConfigError(f"{out}: holds this run already; go on with it by --resume, or name another 'out'")


def _document(config: TrainConfig) -> dict[str, Any]:
    return config.model_dump(mode="json", exclude_none=True)


def _changes(before: Mapping[str, Any], after: Mapping[str, Any], place: str = "") -> Iterator[str]:
    """What differs between two configurations, as words."""
    for key in before.keys() | after.keys():
        old, new = before.get(key), after.get(key)
        if old == new or (not place and key in _FREE_TO_CHANGE):
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _changes(cast("Mapping[str, Any]", old), cast("Mapping[str, Any]", new), f"{place}{key}.")
        else:
            yield f"{place}{key} was {old!r}, is {new!r}"


def _fingerprint(config: TrainConfig, material: Material) -> str:
    """Names what a run learns: configuration, format and data."""
    digest = hashlib.sha256()
    settings = {name: value for name, value in _document(config).items() if name not in _FREE_TO_CHANGE}
    digest.update(json.dumps([settings, material.format.to_document()], sort_keys=True).encode())
    for trajectory in (*material.trajectories, *material.validation):
        digest.update(repr(trajectory).encode())
    return digest.hexdigest()[:16]

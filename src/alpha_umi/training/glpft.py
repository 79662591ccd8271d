"""GLPFT, the paper's two-stage training: a backbone tuned on whole steps, then each role tuned from it.

Which stages there are, and from what each starts, is `training.recipe`'s. A run directory describes itself:
`umi.toml` (the agent), `format.json`, `config.toml`, one folder per stage with weights or adapters,
`history/STAGE.jsonl`, `metrics.json`. A stage's folder is there only when the stage is done, so an interrupted
run goes on where it was; `umi.toml` comes last.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from accelerate import PartialState
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alpha_umi.config import AdapterConfig, AgentConfig, SamplingsConfig, TrainConfig, resolved
from alpha_umi.errors import CheckpointError, ConfigError, DataError, FormatError
from alpha_umi.formats.tokens import Tokenizer
from alpha_umi.models.adapter_files import load_rows, merge_folder, restart, save_adapter
from alpha_umi.models.adapters import ADAPTERS, AdapterKind, Adapters, AdapterSettings, adapters_of, attach, merge
from alpha_umi.models.checkpoint import load_tokenizer, load_weights
from alpha_umi.models.format_tokens import add_tokens, hold_tokens
from alpha_umi.models.token_rows import train_rows, trained_rows
from alpha_umi.protocols import Format, StoredFormat
from alpha_umi.roles import AGENT_ROLES, OPTIONAL_ROLES
from alpha_umi.store import write_json, write_text
from alpha_umi.training import distributed
from alpha_umi.training.attention import unsupported_reason
from alpha_umi.training.callbacks import StageProgress
from alpha_umi.training.data.batches import Layout, Packing, StepData, TokenizedTrajectories, fingerprint, pack
from alpha_umi.training.data.cache import TokenCache
from alpha_umi.training.data.corpus import Corpus, Progress, Sources
from alpha_umi.training.data.examples import make_examples
from alpha_umi.training.data.labels import AdapterAssignment, Lengths, Tokeniser, Weights, label
from alpha_umi.training.data.order import Amount, Shuffle, order
from alpha_umi.training.data.packing import PackedTrees
from alpha_umi.training.recipe import BASE, Step, agent_roles, keeps_base, make_steps
from alpha_umi.training.run_directory import check_place, claim, cleanup_on_error, document_of
from alpha_umi.training.sft import (
    Stage,
    checkpoints_of,
    computes_in_low_precision,
    finished,
    forget_checkpoints,
    train_stage,
)
from alpha_umi.training.start import cast_frozen, tiny_model
from alpha_umi.training.tokenizer import learn_tokenizer
from alpha_umi.types import Json, Role, Task, ToolPrompt, Trajectory

_FREE_TO_CHANGE = (
    "out", "save_every", "keep_checkpoints", "log_every", "device", "workers", "cache", "tokens_per_microbatch",
    "tokens_per_pass", "report_to", "spread",
)  # fmt: skip
"""Keys that may change when a run is resumed: they leave the result as it is, but for the rounding of sums.
`tokens_per_pass` is the key of runs that the previous version began."""
MERGED = "adapter"
"""Folder, in that of a model into which a LoRA was merged, of that LoRA."""
_TOKENIZER_TEXTS = 500
"""Trajectories from which a tokenizer is learned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainInputs:
    """Inputs of a run beside its configuration."""

    format: StoredFormat
    read_dialogues: Callable[[Path], Iterable[Trajectory]]
    """Reads files that are no lines of trajectories."""
    indexing: Progress | None = None
    """Progress of indexing the data."""
    on_progress: Callable[[StageProgress], object] | None = None
    """Called in the first process after every step, and after every line of a history."""


def run(config: TrainConfig, inputs: TrainInputs, *, resume: bool = False) -> Path:
    """Train all stages and return the run directory.

    Raises ConfigError when the directory holds another run, or this one and `resume` is off, and when a stage has
    nothing to learn; KeyboardInterrupt after Ctrl-C, when what is done is saved.
    """
    _check_format(config, inputs.format)
    out, process = Path(config.out), PartialState(cpu=config.device == "cpu")
    is_new = check_place(out, document_of(config), resume=resume, free=_FREE_TO_CHANGE)
    process.wait_for_everyone()
    with process.main_process_first(), cleanup_on_error(out if is_new else None):  # the others find the index ready
        work = Run(config, inputs)
        work.check_examples([step for step in make_steps(config) if finished(out / step.name) is None])
    if is_new and process.is_main_process:
        claim(out, config, inputs.format.to_document())
    if keeps_base(config):
        work.keep_base()
    metrics: dict[str, Json] = {}
    for step in make_steps(config):
        process.wait_for_everyone()
        folder = out / step.name
        if finished(folder) is None:
            work.train(step)
        done = finished(folder) or {}
        if done.get("fingerprint") != work.fingerprint:
            raise ConfigError(f"{folder}: trained on other data; name another 'out' or remove this folder")
        forget_checkpoints(folder)
        metrics[step.name] = {name: value for name, value in done.items() if name != "fingerprint"}
    if process.is_main_process:
        write_json(out / "metrics.json", metrics)
        with write_text(out / "umi.toml") as text:
            text.write(resolved(_agent(config).model_copy(update={"trained_tools": work.tool_names()})))
    process.wait_for_everyone()
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """Tokenizer and model that a stage starts from."""

    tokenizer: PreTrainedTokenizerBase
    model: PreTrainedModel
    new_tokens: Sequence[int] = ()
    """Ids of the format's new tokens, whose embeddings are untrained."""


class Run:
    """Training run: its data, and the start, training and end of its stages."""

    def __init__(self, config: TrainConfig, inputs: TrainInputs) -> None:
        self._config = config
        self._format = inputs.format
        self._on_progress = inputs.on_progress
        self._out = Path(config.out)
        self._cache = Path(config.cache) if config.cache else self._out / "cache"
        self._train = self._open(config.data.train, inputs, config.data.limit)
        self._validation = self._open(config.data.validation, inputs) if config.data.validation else None
        self.fingerprint = _fingerprint(config, inputs, [self._train, self._validation])
        self._learned: PreTrainedTokenizerBase | None = None

    def _open(self, paths: Sequence[str], inputs: TrainInputs, limit: int | None = None) -> Corpus:
        sources = Sources(
            paths=[Path(path) for path in paths],
            folder=self._cache,
            read_dialogues=inputs.read_dialogues,
            limit=limit,
        )
        corpus = Corpus.open(sources, inputs.indexing)
        if not len(corpus):
            raise DataError(f"{', '.join(paths)}: no trajectories to learn from")
        return corpus

    def tool_names(self) -> tuple[str, ...] | None:
        """Names of the tools in the training data; None for many, and where the files are no longer there."""
        try:
            return self._train.tool_names()
        except DataError:
            return None

    def check_examples(self, steps: Sequence[Step]) -> None:
        """Find an example to learn from for every role that a model or an adapter of its own is trained for.

        Raises ConfigError for a role that has none, or none within the length limits: before anything is trained.
        """
        for step in steps:
            own = step.adapter is not None and not step.merged
            for roles in [(role,) for role in step.learns] if own else [step.learns]:
                self._check_examples(step, roles)

    def _check_examples(self, step: Step, roles: Sequence[Role]) -> None:
        name = "/".join(roles)
        there = np.flatnonzero(self.taken(step) & (self._train.counts(roles) > 0))
        if not len(there):
            raise ConfigError(f"{name}: no examples to train on; no trajectory has a step for this role to learn from")
        units = self.units(self.tokenizer(), step.learns)
        if any(example.role in roles for index in there for example in units[int(index)].examples):
            return
        lengths = f"max_length {self._config.max_length}, prompt_limit {self._config.prompt_limit}"
        raise ConfigError(
            f"{name}: no examples to train on; all {self._train.counts(roles)[there].sum():,} are longer than is "
            f"allowed ({lengths})"
        )

    # --- one stage ---

    def train(self, step: Step) -> None:
        """Train one step of the recipe until its folder is whole."""
        config, start = self._config, self._start(step.starts_from)
        adapters = self._adapt(step, start)
        if computes_in_low_precision(config, start.model):
            cast_frozen(start.model, torch.bfloat16)
        tokeniser = self._tokeniser(start.tokenizer, step.learns)
        packing = self._packing(step, start.model)
        learned = sum(weight.numel() for weight in start.model.parameters() if weight.requires_grad)
        stage = Stage(
            name=step.name,
            model=start.model,
            data=self._data(step, tokeniser, packing),
            validation=self._rows(tokeniser, packing),
            settings=step.settings,
            run=config,
            out=self._out / step.name,
            history=self._out / "history" / f"{step.name}.jsonl",
            write=lambda folder, weights: self._write(step, start, adapters, folder, weights),
            on_progress=self._on_progress,
        )
        marker = {"fingerprint": self.fingerprint, "parameters": start.model.num_parameters(), "learned": learned}
        train_stage(stage, marker)

    def _tokeniser(self, tokenizer: PreTrainedTokenizerBase, roles: Sequence[Role]) -> Tokeniser:
        lengths = Lengths(prompt=self._config.prompt_limit, example=self._config.max_length)
        return Tokeniser(cast("Tokenizer", tokenizer), self._format, roles, lengths)

    def _packing(self, step: Step, model: PreTrainedModel) -> Packing:
        config, adapter = self._config, step.adapter
        layout = Layout(config.layout)
        if layout is Layout.TREE and unsupported_reason(model.config, config.max_length) is not None:
            layout = Layout.ROWS
        tagging = None
        if adapter is not None:
            shared = dict.fromkeys(Role, ADAPTERS[Role.BACKBONE]) if step.merged else {}
            tagging = AdapterAssignment(numbers={**ADAPTERS, **shared}, from_role_token=adapter.kind == "alora")
        return Packing(
            layout=layout,
            tokens_per_microbatch=config.tokens_per_microbatch,
            max_length=config.max_length,
            weights=Weights(**step.settings.weights.model_dump()),
            tagging=tagging,
        )

    def _data(self, step: Step, tokeniser: Tokeniser, packing: Packing) -> StepData:
        settings, in_order = step.settings, self._config.shuffle == "none"
        steps = order(
            np.where(self.taken(step), self._train.counts(step.learns), 0),
            Amount(batch_size=settings.batch_size, epochs=settings.epochs, max_steps=settings.max_steps),
            seed=None if in_order else self._config.seed,
            shuffle=Shuffle.TRAJECTORY if in_order else Shuffle(self._config.shuffle),
        )
        return StepData(self._units(self._train, tokeniser), steps, packing, distributed.processes())

    def taken(self, step: Step) -> np.ndarray:
        """Mask of the trajectories that a step learns from, [trajectories]."""
        return (self._train.places >= step.part[0]) & (self._train.places < step.part[1])

    def units(self, tokenizer: PreTrainedTokenizerBase, roles: Sequence[Role]) -> TokenizedTrajectories:
        """Trajectories as a step tokenises them."""
        return self._units(self._train, self._tokeniser(tokenizer, roles))

    def _units(self, corpus: Corpus, tokeniser: Tokeniser) -> TokenizedTrajectories:
        name = fingerprint(corpus, tokeniser, self._format.to_document())
        return TokenizedTrajectories(corpus, tokeniser, TokenCache(self._cache, name, len(corpus)))

    def _rows(self, tokeniser: Tokeniser, packing: Packing) -> dict[str, list[PackedTrees]]:
        """Validation examples by role, one tree each."""
        if self._validation is None:
            return {}
        units = self._units(self._validation, tokeniser)
        examples = [example for index in range(len(self._validation)) for example in units[index].examples]
        alone = Packing(
            layout=Layout.ROWS,
            tokens_per_microbatch=packing.tokens_per_microbatch,
            max_length=packing.max_length,
            weights=packing.weights,
            tagging=packing.tagging,
        )
        return {
            role.value: pack(
                [[label(one, alone.weights, alone.tagging)] for one in examples if one.role is role], alone
            )
            for role in tokeniser.roles
        }

    # --- how a stage starts ---

    def _start(self, name: str) -> _Start:
        """Tokenizer and model of an earlier step, or of the start of the run."""
        if name != BASE:
            folder = str(self._out / name)
            return self._load(folder)
        tiny = self._config.model.tiny
        if tiny is not None:
            tokenizer = self.tokenizer()
            return _Start(tokenizer=tokenizer, model=tiny_model(tiny, tokenizer, self._config.seed))
        base = cast("str", self._config.model.base)
        start = self._load(base)
        tokenizer, model = start.tokenizer, start.model
        context = getattr(model.config, "max_position_embeddings", None)
        if context is not None and context < self._config.max_length:
            raise CheckpointError(
                f"{base}: reads {context} tokens at most; set max_length (now {self._config.max_length}) to it"
            )
        added = hold_tokens(model, tokenizer, self._format.special_tokens, self._format.end)
        merged = self._config.model.merged_adapter
        if merged is not None:
            merge_folder(model, merged)
        return _Start(tokenizer=tokenizer, model=model, new_tokens=range(len(tokenizer) - added, len(tokenizer)))

    def _load(self, name: str) -> _Start:
        trusts = self._config.model.trust_remote_code
        return _Start(
            tokenizer=load_tokenizer(name, trust_remote_code=trusts),
            model=load_weights(name, trust_remote_code=trusts),
        )

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Tokenizer at the start of the run, the format's tokens in it."""
        tiny, form = self._config.model.tiny, self._format
        if tiny is not None:
            if self._learned is None:
                self._learned = learn_tokenizer(
                    self._texts(), vocab_size=tiny.vocab_size, special_tokens=form.special_tokens, end=form.end
                )
            return self._learned
        trusts = self._config.model.trust_remote_code
        tokenizer = load_tokenizer(cast("str", self._config.model.base), trust_remote_code=trusts)
        add_tokens(tokenizer, form.special_tokens)
        return tokenizer

    def _texts(self) -> Iterator[str]:
        """Texts with the words of the data: every completion, and the longest prompt of every role."""
        stride = max(1, len(self._train) // _TOKENIZER_TEXTS)
        for index in range(0, len(self._train), stride):
            trajectory = self._train.read(index)
            for role in Role:
                if not _renders(self._format, role):
                    continue
                rows = make_examples(trajectory, role, self._format).rows
                yield from (row.completion for row in rows)
                yield from (row.prompt for row in rows[-1:] if isinstance(row.prompt, str))

    def _adapt(self, step: Step, start: _Start) -> Adapters | None:
        """Install the adapters that a step learns."""
        if step.adapter is None:
            return None
        if step.merged and start.new_tokens:
            train_rows(start.model, start.new_tokens)
        roles = (Role.BACKBONE,) if step.merged else step.learns
        tokenizer = cast("Tokenizer", start.tokenizer)
        invocations = {
            role: tokenizer.encode(self._format.role_token(role), add_special_tokens=False) for role in roles
        }
        adapters = attach(start.model, _settings(step.adapter), roles, invocations=invocations, seed=self._config.seed)
        if step.adapter.start is not None:
            for role in roles:
                folder = step.adapter.start if step.merged else str(Path(step.adapter.start, role.value))
                restart(adapters, role, folder)
                load_rows(start.model, folder)
        return adapters

    # --- how it ends ---

    def _write(
        self, step: Step, start: _Start, adapters: Adapters | None, folder: Path, weights: Mapping[str, Tensor]
    ) -> None:
        if step.adapter is None or adapters is None:
            start.model.save_pretrained(folder, state_dict=dict(weights))
        elif step.merged:
            whole = self._start(step.starts_from)  # the trained one may lie in shards, and what is frozen was narrowed
            self._adapt(step, whole)
            learned = {name for name, weight in whole.model.named_parameters() if weight.requires_grad}
            whole.model.load_state_dict({name: weights[name] for name in learned}, strict=False)
            own, place, rows = cast("Adapters", adapters_of(whole.model)), folder / MERGED, trained_rows(whole.model)
            save_adapter(own, Role.BACKBONE, _settings(step.adapter), place, base=step.starts_from, rows=rows)
            merge(whole.model).save_pretrained(folder)
        else:
            for role, name in step.folders.items():
                place = folder if name == step.name else folder / role.value
                save_adapter(adapters, role, _settings(step.adapter), place, base=step.starts_from, state=weights)
            return
        start.tokenizer.save_pretrained(folder)

    def write_adapters(
        self, step: Step, out: Path, *, base: str, dtype: torch.dtype | None, average: int = 1
    ) -> list[int]:
        """Write the adapters of a step, a folder per role: finished, or the mean of its last `average` checkpoints.

        That of a `merged` step is written to `out` itself. `base`: the base model's name in them. Returns the steps
        after which these were. Raises ConfigError where there are none yet.
        """
        start = self._start(step.starts_from)
        adapters = self._adapt(step, start)
        if adapters is None or step.adapter is None:
            raise ConfigError(f"{self._out}: the stage {step.name!r} trains no adapters")
        folder, found = self._out / step.name, distributed.checkpoints(checkpoints_of(self._out / step.name))
        done = finished(folder)
        if done is not None:
            learned = {Role.BACKBONE: f"{step.name}/{MERGED}"} if step.merged else step.folders
            for role, name in learned.items():
                restart(adapters, role, str(self._out / name))
                load_rows(start.model, str(self._out / name))
            steps = [cast("int", cast("dict[str, Json]", done["result"])["steps"])]
        elif len(found) >= average:
            distributed.load_mean([each / distributed.STATE for each in found[-average:]], start.model)
            steps = [int(each.name.partition("-")[2]) for each in found[-average:]]
        else:
            raise ConfigError(
                f"{self._out}: {len(found)} checkpoints, one comes every {self._config.save_every} steps and "
                f"{self._config.keep_checkpoints} are kept"
            )
        settings, rows = _settings(step.adapter), trained_rows(start.model)
        for role, place in (
            [(Role.BACKBONE, out)] if step.merged else [(role, out / role.value) for role in step.folders]
        ):
            save_adapter(adapters, role, settings, place, base=base, dtype=dtype, rows=rows)
        return steps

    def keep_base(self) -> None:
        """Write the folder under adapters that lie on the model the run starts from."""
        folder = self._out / BASE
        if folder.exists():
            return
        start = self._start(BASE)
        size = sum(weight.nbytes for weight in start.model.parameters())
        with distributed.whole_folder(folder, size) as part:
            if distributed.is_first():
                start.model.save_pretrained(part)
                start.tokenizer.save_pretrained(part)


def _settings(adapter: AdapterConfig) -> AdapterSettings:
    return AdapterSettings(
        kind=AdapterKind(adapter.kind),
        rank=adapter.rank,
        alpha=adapter.scale * adapter.rank,
        dropout=adapter.dropout,
        targets=tuple(adapter.targets),
    )


def _renders(form: Format, role: Role) -> bool:
    """Test if a format has prompts of a role that a model here can read."""
    try:
        return not isinstance(form.render(role, Task(id="", query=""), ()), ToolPrompt)
    except FormatError:
        return False


def _check_format(config: TrainConfig, form: Format) -> None:
    """Check the format before training: every role has prompts, and an activated adapter has an invocation token."""
    mute = [role.value for step in make_steps(config) for role in step.learns if not _renders(form, role)]
    if mute:
        raise ConfigError(
            f"method {config.method!r} trains the {mute[0]}, for which format {form.name!r} has no prompt that a model "
            "here reads; choose another format, or method 'single' for one that has a backbone alone"
        )
    missing = [role.value for role in AGENT_ROLES if not form.role_token(role)]
    if config.adapter.kind == "alora" and missing:
        raise ConfigError(
            f"adapter.kind = 'alora' needs a token that wakes each adapter; format {form.name!r} has none for "
            f"{', '.join(missing)}: use format 'shared', or kind 'lora'"
        )


# --- the run directory ------------------------------------------------------------------------------------


def _agent(config: TrainConfig) -> AgentConfig:
    """Agent of a run directory; its paths are relative to it."""
    return AgentConfig(
        format="format.json",
        roles=agent_roles(config),
        sampling=SamplingsConfig(max_tokens=config.max_length - config.prompt_limit),
        max_input_tokens=config.prompt_limit,
    )


def _fingerprint(config: TrainConfig, inputs: TrainInputs, corpora: Sequence[Corpus | None]) -> str:
    """Fingerprint of a run's training: configuration, format and data, independent of the files' paths."""
    digest = hashlib.sha256()
    settings = {name: value for name, value in document_of(config).items() if name not in (*_FREE_TO_CHANGE, "data")}
    digest.update(json.dumps([settings, inputs.format.to_document()], sort_keys=True).encode())
    counted = [role for role in Role if role not in OPTIONAL_ROLES or role in (config.optional_roles or ())]
    for corpus in corpora:
        if corpus is not None:
            digest.update(corpus.places.tobytes() + corpus.sizes.tobytes() + corpus.counts(counted).tobytes())
    return digest.hexdigest()[:16]

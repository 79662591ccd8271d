"""Configuration of training runs: data, model, method, and the tuning of every stage."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveInt, model_validator

from alpha_umi.config.tables import Table, file_path, format_name, keyed_by_role, model_or_hub_id
from alpha_umi.types import Role

Method = Literal["glpft", "single", "one-stage", "multi-task", "glpft-without-reuse"]
LINEAR_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""Names of the linear layers of a Llama, a Qwen or a Mistral."""
MS_SWIFT = "ms-swift"


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


class DataConfig(Table):
    """Training data."""

    train: Annotated[tuple[str, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
    """Trajectory files."""
    validation: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = ()
    """Trajectory files whose loss is measured while training (`validate_every`) and after every stage."""
    limit: PositiveInt | None = None
    """Number of trajectories, the first ones."""

    def rebased(self, folder: Path) -> typing.Self:
        update = {
            name: tuple(file_path(path, folder) for path in getattr(self, name)) for name in ("train", "validation")
        }
        return self.model_copy(update=update)


class TinyConfig(Table):
    """Small Llama from scratch, its weights drawn from the run's seed, its tokenizer learned from the data."""

    architecture: Literal["llama"] = "llama"
    hidden_size: PositiveInt = 128
    layers: PositiveInt = 4
    heads: PositiveInt = 4
    kv_heads: PositiveInt | None = None
    """None: as many as heads."""
    intermediate_size: PositiveInt | None = None
    """None: three times the hidden size."""
    vocab_size: int = Field(default=2048, ge=300)
    """Largest number of tokens; 256 of them are the bytes."""
    max_position: PositiveInt = 4096

    @model_validator(mode="after")
    def _heads_divide(self) -> typing.Self:
        if self.hidden_size % (2 * self.heads):
            raise ValueError(f"hidden_size ({self.hidden_size}) must be a multiple of twice the heads ({self.heads})")
        if self.heads % (self.kv_heads or self.heads):
            raise ValueError(f"heads ({self.heads}) must be a multiple of kv_heads ({self.kv_heads})")
        return self


class ModelConfig(Table):
    """Initial model of training: `base` (a folder, a hub id, or weights of a bundled agent) or `tiny`."""

    base: str | None = None
    merged_adapter: str | None = None
    """A folder with a plain LoRA that is merged into `base` before training: the backbone of an earlier run."""
    tiny: TinyConfig | None = None
    trust_remote_code: bool = False
    """True: run Python code that the base brings."""

    @model_validator(mode="after")
    def _is_one(self) -> typing.Self:
        if (self.base is None) == (self.tiny is None):
            raise ValueError("name either 'base' (a folder or a hub id) or a table [model.tiny]")
        if self.tiny is not None and self.merged_adapter is not None:
            raise ValueError("merged_adapter is merged into a base; [model.tiny] has none")
        return self

    def rebased(self, folder: Path) -> typing.Self:
        named = {name: getattr(self, name) for name in ("base", "merged_adapter")}
        paths = {name: model_or_hub_id(path, folder) for name, path in named.items() if path is not None}
        return self.model_copy(update=paths)


class WeightsConfig(Table):
    """Loss weights of the parts of a completion; the loss of a step is their weighted sum over a divisor."""

    thought: float = Field(default=1.0, ge=0)
    decision: float = Field(default=1.0, ge=0)
    """Decision of a plan."""
    name: float = Field(default=1.0, ge=0)
    """Of the called tool."""
    arguments: float = Field(default=1.0, ge=0)
    answer: float = Field(default=1.0, ge=0)
    mark: float = Field(default=1.0, ge=0)
    """Labels and separators that the format itself writes."""
    divide_by: Literal["tokens"] | None = None
    """Divisor of a step's loss: the number of tokens that have a weight. None: the sum of their weights."""


_MS_SWIFT_WEIGHTS = WeightsConfig(decision=2, name=2, arguments=2, mark=2, divide_by="tokens")
"""ms-swift's `alpha_umi` loss scale: `Action:`, `Action Input:` and `Next:` with what follows them count twice, and the
sum is divided by the number of tokens."""


def _preset(value: object) -> object:
    if value == MS_SWIFT:
        return _MS_SWIFT_WEIGHTS
    if isinstance(value, str):
        raise ValueError(f"weights: {value!r} is no preset; write {MS_SWIFT!r}, or a table of weights per part")
    return value


class StageConfig(Table):
    """Tuning of one model in one stage."""

    epochs: float = Field(default=1.0, gt=0)
    learning_rate: float = Field(default=1e-5, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    warmup_ratio: float = Field(default=0.2, ge=0, lt=1)
    """Share of the steps over which the learning rate rises."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """Learning rate schedule after the warm-up."""
    batch_size: PositiveInt = 48
    """Examples that an optimizer step learns from, over all devices. Whole trajectories are taken until there are at
    least that many."""
    max_steps: PositiveInt | None = None
    """Goes before `epochs`."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """muon: orthogonalised momentum for the matrices inside the layers, AdamW for all else."""
    muon_learning_rate: float = Field(default=0.01, gt=0)
    """For the matrices under muon; `learning_rate` is then for all else."""
    max_grad_norm: float = Field(default=1.0, ge=0)
    """Gradients are scaled down to this norm; 0: never."""
    early_stop: PositiveInt | None = None
    """Early stopping: validations in a row without a lower loss; the weights of the lowest one are kept."""
    weights: Annotated[WeightsConfig, BeforeValidator(_preset)] = WeightsConfig()
    """Or the name of a preset: 'ms-swift'."""

    @model_validator(mode="before")
    @classmethod
    def _knows_whole_steps(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and "gradient_accumulation" in value:
            raise ValueError(
                "gradient_accumulation is gone: batch_size now counts the examples of a whole step over all devices, "
                "and tokens_per_microbatch, at the top of the file, says how much one device computes at once; the "
                "micro-batches of a step follow from the two"
            )
        return cast("Any", value)


_BACKBONE = StageConfig(epochs=2, learning_rate=5e-5, weight_decay=0, warmup_ratio=0.4, schedule="constant")
_SUMMARIZER = StageConfig(epochs=2, warmup_ratio=0.4)
_ROLES = StageConfig(learning_rate=1e-4, weight_decay=0)


class StagesConfig(keyed_by_role(Table, StageConfig)):
    """Tuning of each stage of a method; an optional role without a table is tuned as the caller.

    The defaults of the four roles are the published ones (paper, training details); the first stage was published as
    cosine, but ran constant after its warm-up, as its DeepSpeed file said.
    """

    backbone: StageConfig = _BACKBONE
    planner: StageConfig = StageConfig()
    caller: StageConfig = StageConfig()
    summarizer: StageConfig = _SUMMARIZER
    roles: StageConfig = _ROLES
    """The three adapters in one pass, where `adapter.joint` holds; not published, a usual rate for LoRA."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, value: Any) -> Any:
        """Fill in a stage's defaults for the keys that its table leaves out."""
        if not isinstance(value, Mapping):
            return value
        table = dict(cast("Mapping[str, Any]", value))
        for name, stage in table.items():
            field = cls.model_fields.get(name)
            if field is not None and isinstance(stage, Mapping):
                default = cast("StageConfig | None", field.default) or StageConfig()
                table[name] = default.model_dump() | dict(cast("Mapping[str, Any]", stage))
        return table

    def of(self, role: Role) -> StageConfig:
        return cast("StageConfig | None", getattr(self, role.value)) or self.caller


class AdapterConfig(Table):
    """Trained weights of the role models: all of them, or a LoRA adapter on the backbone."""

    kind: Literal["none", "lora", "alora"] = "none"
    """lora: acts on every token of a role's examples. alora: acts from the role token on, so that the three roles
    share what stands before it."""
    rank: PositiveInt = 16
    alpha: float | None = Field(default=None, gt=0)
    """The adapter's output is scaled by alpha / rank. None: twice the rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """With dropout, what a layout shares is dropped once for all examples that share it."""
    targets: Annotated[tuple[str, ...], BeforeValidator(_as_tuple), Field(min_length=1)] = LINEAR_LAYERS
    """Names of the layers that are adapted."""
    joint: bool | None = None
    """True: the three roles are learned in one pass, tuned by [stages.roles]. None: where kind is alora."""
    start: str | None = None
    """Folder of role adapters from which training goes on: `runs/one/roles`, or a bundled agent's, `umi-smol/roles`.
    Of a LoRA that is merged: its own folder, `umi-smol/backbone`."""
    backbone: Literal["full", "lora"] = "full"
    """Tuning of a model that is no role's own (the first stage, and the whole of single and multi-task): all
    weights, or a LoRA of the same rank that is then merged into them."""

    @property
    def scale(self) -> float:
        """Scale of the LoRA update, alpha / rank."""
        return 2.0 if self.alpha is None else self.alpha / self.rank

    @property
    def is_joint(self) -> bool:
        return self.kind == "alora" if self.joint is None else self.joint

    @model_validator(mode="after")
    def _joins_adapters(self) -> typing.Self:
        if self.joint and self.kind == "none":
            raise ValueError("joint = true needs adapters, which alone share a backbone; set kind to lora or alora")
        return self


class SpreadConfig(Table):
    """Distribution of a run over the processes of torchrun, by FSDP2. Mixed precision follows `dtype`."""

    shard: bool | None = None
    """True: weights, gradients and optimizer state are sharded. None: where there are several processes.
    False: every process holds them whole."""
    cpu_offload: bool = False
    """True: they stay in CPU memory and are moved to the device layer by layer; slow."""
    reshard_after_forward: bool = True
    """True: a layer's weights leave the device between forward and backward: less memory, more to send."""

    @model_validator(mode="after")
    def _offloads_shards(self) -> typing.Self:
        if self.cpu_offload and self.shard is False:
            raise ValueError("cpu_offload = true works on shards; leave out shard = false")
        return self


_TOKENS_PER_MICROBATCH = 16384
_RENAMED = MappingProxyType({"tokens_per_pass": "tokens_per_microbatch"})
"""Keys of the previous version; see `Table.renamed`."""


class TrainConfig(Table):
    """Configuration of a training run, the same in each of its processes."""

    data: DataConfig
    model: ModelConfig
    out: str
    """The run directory."""
    format: str = "shared"
    """As in AgentConfig."""
    method: Method = "glpft"
    """glpft: a backbone learns whole steps, then each role is tuned from it (the paper). single: the backbone alone.
    one-stage: each role from the base model. multi-task: one model on the examples of all three roles.
    glpft-without-reuse: the two stages learn from different instructions. See training.recipe."""
    optional_roles: tuple[Role, ...] | None = None
    """Roles that are trained beside the three, such as `critic`, from the turns of theirs in the data."""
    adapter: AdapterConfig = AdapterConfig()
    stages: StagesConfig = StagesConfig()
    spread: SpreadConfig = SpreadConfig()
    max_length: PositiveInt = 4096
    """Tokens of prompt and completion; a longer example is left out, never cut inside its completion."""
    max_input_tokens: PositiveInt | None = None
    """Longer prompts are cut by the rule of formats.fit, in training as later live. None: seven eighths of
    `max_length`."""
    layout: Literal["tree", "rows", "padded"] = "tree"
    """Layout of the examples of a step; the loss is the same. tree: what examples share is computed once.
    rows: each example alone. padded: each alone, and padded to `max_length`, as published; to compare with."""
    shuffle: Literal["trajectory", "example", "none"] = "trajectory"
    """Unit that a step samples.

    example: single ones, as published; then only the chance examples of a step share anything. none: trajectories in
    the order of the data, where those that begin alike stand together and are computed as one tree.
    """
    tokens_per_microbatch: PositiveInt = _TOKENS_PER_MICROBATCH
    """Tokens that a device computes at once. A step takes as many micro-batches as its examples need. Left open: 16384,
    or `max_length` where that is more."""
    workers: NonNegativeInt = 0
    """Processes that tokenise ahead; 0: the training process itself, as it goes."""
    cache: str | None = None
    """Folder of the tokenised examples. None: `cache` in the run directory."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the computation; weights and optimizer stay in float32. auto: bfloat16 on an accelerator, and on a CPU with
    AMX or AVX512-BF16 where the model's hidden size is 512 or more."""
    device: Literal["auto", "cpu"] = "auto"
    gradient_checkpointing: bool = False
    seed: int = 0
    save_every: PositiveInt = 200
    """Steps between the checkpoints from which an interrupted stage goes on."""
    keep_checkpoints: PositiveInt = 2
    """Number of them that are kept, the last ones."""
    log_every: PositiveInt = 10
    """Steps between two lines of the loss history."""
    validate_every: PositiveInt | None = None
    """Steps between two measurements on `data.validation`. None: after every stage only."""
    report_to: Annotated[tuple[str, ...] | None, BeforeValidator(_as_tuple)] = None
    """Trackers by the names that transformers has for them, such as wandb. None: tensorboard where it is installed."""

    renamed = _RENAMED

    @property
    def prompt_limit(self) -> int:
        """Largest number of tokens of a prompt."""
        return self.max_input_tokens or self.max_length * 7 // 8

    @model_validator(mode="before")
    @classmethod
    def _pass_holds_the_longest(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and not {"tokens_per_microbatch", *cls.renamed} & value.keys():
            table = cast("Mapping[str, Any]", value)
            longest = table.get("max_length")
            if isinstance(longest, int) and longest > _TOKENS_PER_MICROBATCH:
                return {**table, "tokens_per_microbatch": longest}
        return cast("Any", value)

    @model_validator(mode="after")
    def _fits(self) -> typing.Self:
        if self.prompt_limit >= self.max_length:
            raise ValueError(
                f"max_input_tokens ({self.prompt_limit}) leaves no room for a completion "
                f"within max_length ({self.max_length})"
            )
        tiny = self.model.tiny
        if tiny is not None and tiny.max_position < self.max_length:
            raise ValueError(
                f"model.tiny.max_position ({tiny.max_position}) is less than max_length ({self.max_length})"
            )
        if self.tokens_per_microbatch < self.max_length:
            raise ValueError(
                f"tokens_per_microbatch ({self.tokens_per_microbatch}) is less than max_length ({self.max_length}), "
                "so the longest examples would fit in no pass"
            )
        return self

    @model_validator(mode="after")
    def _can_stop_early(self) -> typing.Self:
        tuned = {name: getattr(self.stages, name) for name in type(self.stages).model_fields}
        stages = [name for name, stage in tuned.items() if stage is not None and stage.early_stop is not None]
        if stages and (self.validate_every is None or not self.data.validation):
            raise ValueError(
                f"early_stop in [stages.{stages[0]}] needs data.validation and validate_every, which it goes by"
            )
        return self

    def rebased(self, folder: Path) -> typing.Self:
        update: dict[str, Any] = {"format": format_name(self.format, folder), "out": file_path(self.out, folder)}
        if self.adapter.start is not None:
            start = model_or_hub_id(self.adapter.start, folder)
            update["adapter"] = self.adapter.model_copy(update={"start": start})
        if self.cache is not None:
            update["cache"] = file_path(self.cache, folder)
        return super().rebased(folder).model_copy(update=update)


_READING = StageConfig(learning_rate=3e-3, weight_decay=0.0, warmup_ratio=0.05, schedule="linear", optimizer="muon")


class PretrainConfig(Table):
    """Configuration of pretraining: a small Llama trained on texts in one pass."""

    texts: Annotated[tuple[str, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
    """JSONL files, `{"text": ...}` each."""
    model: TinyConfig = TinyConfig()
    out: str
    """The run directory; the model lies in its folder `base`."""
    format: str = "shared"
    """Format whose special tokens the tokenizer holds; a text ends as a turn does."""
    stage: StageConfig = _READING
    """`batch_size` counts texts."""
    max_length: PositiveInt = 512
    """Tokens of a text; what is longer is cut."""
    tokens_per_microbatch: PositiveInt = _TOKENS_PER_MICROBATCH
    workers: NonNegativeInt = 0
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    device: Literal["auto", "cpu"] = "auto"
    seed: int = 0
    save_every: PositiveInt = 200
    log_every: PositiveInt = 10
    renamed = _RENAMED

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, value: Any) -> Any:
        """Fill in the stage's defaults for the keys that its table leaves out."""
        if isinstance(value, Mapping):
            table = cast("Mapping[str, Any]", value)
            stage = table.get("stage")
            if isinstance(stage, Mapping):
                return {**table, "stage": _READING.model_dump() | dict(cast("Mapping[str, Any]", stage))}
        return cast("Any", value)

    def rebased(self, folder: Path) -> typing.Self:
        update: dict[str, Any] = {
            "texts": tuple(file_path(path, folder) for path in self.texts),
            "out": file_path(self.out, folder),
            "format": format_name(self.format, folder),
        }
        return self.model_copy(update=update)

    def as_run(self) -> TrainConfig:
        """Convert to the training configuration of its one stage."""
        shared = (
            "max_length",
            "tokens_per_microbatch",
            "workers",
            "dtype",
            "device",
            "seed",
            "save_every",
            "log_every",
        )
        return TrainConfig(
            data=DataConfig(train=self.texts),
            model=ModelConfig(tiny=self.model),
            out=self.out,
            format=self.format,
            method="single",
            **{name: getattr(self, name) for name in shared},
        )

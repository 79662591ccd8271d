"""Configuration: TOML files become frozen data, and everything a user can get wrong in one has a clear error.

Two documents: `AgentConfig` (the `umi.toml` of a run directory, or written by hand to name checkpoints and
endpoints) and `TrainConfig` (one training run). Relative paths are relative to the file's own folder. An
override `a.b=c` is read as if the file said so; `resolved` writes a configuration back so that it loads equal.
"""

from __future__ import annotations

import difflib
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast

import tomli_w
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PositiveInt,
    Tag,
    ValidationError,
    model_validator,
)

from alpha_umi.errors import ConfigError
from alpha_umi.types import Role, Sampling

NAMED_FORMATS = ("shared", "chat")
Dtype = Literal["auto", "float32", "float16", "bfloat16"]


class _Table(BaseModel):
    """A TOML table: frozen, and every key is known."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    def rebased(self, folder: Path) -> typing.Self:
        """The same with the relative paths of this table, and of those in it, taken from `folder`."""
        updates: dict[str, Any] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, _Table):
                updates[name] = value.rebased(folder)
        return self.model_copy(update=updates) if updates else self


# --- agents -----------------------------------------------------------------------------------------------


class LocalConfig(_Table):
    """A model that runs here."""

    type: Literal["local"] = "local"
    model: str
    """A folder with Hugging Face weights, or a hub id."""
    adapter: str | None = None
    """A folder with a PEFT LoRA on top of `model`."""
    dtype: Dtype = "auto"
    """auto: as stored on an accelerator, float32 on a CPU."""
    device: str = "auto"

    def rebased(self, folder: Path) -> typing.Self:
        adapter = None if self.adapter is None else _file(self.adapter, folder)
        return self.model_copy(update={"model": _model_or_hub_id(self.model, folder), "adapter": adapter})


class EndpointConfig(_Table):
    """A model behind an OpenAI-compatible endpoint."""

    type: Literal["endpoint"] = "endpoint"
    base_url: str
    model: str
    api: Literal["auto", "chat", "completions"] = "auto"
    """auto: what the format writes goes to the endpoint that takes it."""
    key_env: str = "OPENAI_API_KEY"
    """The environment variable that holds the key; may be unset for an endpoint that asks for none."""
    concurrency: PositiveInt = 8
    """Requests under way at once."""
    timeout_s: float = Field(default=120.0, gt=0)
    extra: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Fields added to every request, such as llama.cpp's `lora`."""


def _kind(value: Any) -> str:
    if not isinstance(value, Mapping):
        return str(getattr(value, "type", "local"))
    table = cast("Mapping[str, Any]", value)
    return str(table.get("type", "endpoint" if "base_url" in table else "local"))


RoleConfig = Annotated[
    Annotated[LocalConfig, Tag("local")] | Annotated[EndpointConfig, Tag("endpoint")], Discriminator(_kind)
]


class RolesConfig(_Table):
    """Three role models, or one backbone that plays them all; a run directory names both."""

    planner: RoleConfig | None = None
    caller: RoleConfig | None = None
    summarizer: RoleConfig | None = None
    backbone: RoleConfig | None = None

    @model_validator(mode="after")
    def _is_an_agent(self) -> typing.Self:
        three = {"planner": self.planner, "caller": self.caller, "summarizer": self.summarizer}
        missing = [name for name, role in three.items() if role is None]
        if missing and (self.backbone is None or len(missing) < len(three)):
            raise ValueError(
                f"planner, caller and summarizer are needed, or backbone alone; missing: {', '.join(missing)}"
            )
        return self

    def get(self, role: Role) -> LocalConfig | EndpointConfig | None:
        return cast("LocalConfig | EndpointConfig | None", getattr(self, role.value))

    @property
    def is_multi(self) -> bool:
        """Whether there are three role models."""
        return self.planner is not None


class SamplingConfig(_Table):
    """How a role's model chooses tokens; see types.Sampling."""

    temperature: float = Field(default=0.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: PositiveInt = 512
    stop: tuple[str, ...] = ()
    seed: int | None = None


class SamplingsConfig(SamplingConfig):
    """One sampling for all roles; what a role's own table says goes before."""

    planner: SamplingConfig | None = None
    caller: SamplingConfig | None = None
    summarizer: SamplingConfig | None = None
    backbone: SamplingConfig | None = None

    def of(self, role: Role) -> Sampling:
        own = cast("SamplingConfig | None", getattr(self, role.value))
        chosen = {name: getattr(self, name) for name in SamplingConfig.model_fields}
        if own is not None:
            chosen |= {name: getattr(own, name) for name in own.model_fields_set}
        return Sampling(**chosen)


class AgentConfig(_Table):
    """What makes up an agent."""

    format: str
    """`shared`, `chat`, or a format file, with `@training` or `@evaluation` behind it where its variants matter."""
    roles: RolesConfig
    sampling: SamplingsConfig = SamplingsConfig()
    max_input_tokens: PositiveInt | None = None
    """Prompts longer than this are cut by the rule of formats.fit; none: as long as the model reads."""

    def rebased(self, folder: Path) -> typing.Self:
        return super().rebased(folder).model_copy(update={"format": _format(self.format, folder)})


# --- training ---------------------------------------------------------------------------------------------


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


class DataConfig(_Table):
    """What is learned from."""

    train: Annotated[tuple[str, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
    """Trajectory files."""
    validation: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = ()
    """Trajectory files whose loss is measured after every stage."""
    limit: PositiveInt | None = None
    """Only so many trajectories, the first ones."""

    def rebased(self, folder: Path) -> typing.Self:
        update = {name: tuple(_file(path, folder) for path in getattr(self, name)) for name in ("train", "validation")}
        return self.model_copy(update=update)


class TinyConfig(_Table):
    """A Llama from scratch, its weights drawn from the run's seed, its tokenizer learned from the data."""

    architecture: Literal["llama"] = "llama"
    hidden_size: PositiveInt = 128
    layers: PositiveInt = 4
    heads: PositiveInt = 4
    kv_heads: PositiveInt | None = None
    """None: as many as heads."""
    intermediate_size: PositiveInt | None = None
    """None: three times the hidden size."""
    vocab_size: int = Field(default=2048, ge=300)
    """At most so many tokens; 256 of them are the bytes."""
    max_position: PositiveInt = 4096

    @model_validator(mode="after")
    def _heads_divide(self) -> typing.Self:
        if self.hidden_size % (2 * self.heads):
            raise ValueError(f"hidden_size ({self.hidden_size}) must be a multiple of twice the heads ({self.heads})")
        if self.heads % (self.kv_heads or self.heads):
            raise ValueError(f"heads ({self.heads}) must be a multiple of kv_heads ({self.kv_heads})")
        return self


class ModelConfig(_Table):
    """What training starts from: `base` (a folder or a hub id) or `tiny`."""

    base: str | None = None
    tiny: TinyConfig | None = None

    @model_validator(mode="after")
    def _is_one(self) -> typing.Self:
        if (self.base is None) == (self.tiny is None):
            raise ValueError("name either 'base' (a folder or a hub id) or a table [model.tiny]")
        return self

    def rebased(self, folder: Path) -> typing.Self:
        return self if self.base is None else self.model_copy(update={"base": _model_or_hub_id(self.base, folder)})


class StageConfig(_Table):
    """How one model is tuned. One step takes batch_size x gradient_accumulation rows; a row is an example, or the
    examples of one trajectory where each continues the one before (see training.rows)."""

    epochs: float = Field(default=1.0, gt=0)
    learning_rate: float = Field(default=1e-5, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    warmup_ratio: float = Field(default=0.2, ge=0, lt=1)
    """Share of the steps over which the learning rate rises."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """What the learning rate does after the warm-up."""
    batch_size: PositiveInt = 8
    gradient_accumulation: PositiveInt = 6
    max_steps: PositiveInt | None = None
    """Goes before `epochs`."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """muon: orthogonalised momentum for the matrices inside the layers, AdamW for all else."""
    muon_learning_rate: float = Field(default=0.01, gt=0)
    """For the matrices under muon; `learning_rate` is then for all else."""
    max_grad_norm: float = Field(default=1.0, ge=0)
    """Gradients are scaled down to this norm; 0: never."""


_BACKBONE = StageConfig(epochs=2, learning_rate=5e-5, weight_decay=0, warmup_ratio=0.4)
_SUMMARIZER = StageConfig(epochs=2, warmup_ratio=0.4)


class StagesConfig(_Table):
    """The four tunings of GLPFT; the defaults are the published ones (paper, training details)."""

    backbone: StageConfig = _BACKBONE
    planner: StageConfig = StageConfig()
    caller: StageConfig = StageConfig()
    summarizer: StageConfig = _SUMMARIZER

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, value: Any) -> Any:
        """A table that names some keys of a stage leaves that stage's other defaults as they are."""
        if not isinstance(value, Mapping):
            return value
        table = dict(cast("Mapping[str, Any]", value))
        for name, stage in table.items():
            field = cls.model_fields.get(name)
            if field is not None and isinstance(stage, Mapping):
                default = cast("StageConfig", field.default)
                table[name] = default.model_dump() | dict(cast("Mapping[str, Any]", stage))
        return table

    def of(self, role: Role) -> StageConfig:
        return cast("StageConfig", getattr(self, role.value))


class TrainConfig(_Table):
    """One training run: a backbone, then three roles from it."""

    data: DataConfig
    model: ModelConfig
    out: str
    """The run directory."""
    format: str = "shared"
    """As in AgentConfig."""
    stages: StagesConfig = StagesConfig()
    max_length: PositiveInt = 4096
    """Tokens of prompt and completion; a longer example is left out, never cut inside its completion."""
    max_input_tokens: PositiveInt | None = None
    """Longer prompts are cut by the rule of formats.fit, in training as later live. None: seven eighths of
    `max_length`."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the computation; weights and optimizer stay in float32. auto: bfloat16 on an accelerator."""
    device: Literal["auto", "cpu"] = "auto"
    gradient_checkpointing: bool = False
    seed: int = 0
    save_every: PositiveInt = 200
    """Steps between the checkpoints from which an interrupted stage goes on."""
    log_every: PositiveInt = 10
    """Steps between two lines of the loss history."""

    @property
    def prompt_limit(self) -> int:
        """Tokens that a prompt may have."""
        return self.max_input_tokens or self.max_length * 7 // 8

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
        return self

    def rebased(self, folder: Path) -> typing.Self:
        update = {"format": _format(self.format, folder), "out": _file(self.out, folder)}
        return super().rebased(folder).model_copy(update=update)


# --- paths ------------------------------------------------------------------------------------------------


def _file(value: str, folder: Path) -> str:
    return str(folder / Path(value).expanduser())


def _model_or_hub_id(value: str, folder: Path) -> str:
    """A path if it looks like one or is there, else a hub id and left as it is."""
    looks_like_path = value.startswith((".", "/", "~")) or value.count("/") > 1
    path = folder / Path(value).expanduser()
    return str(path) if looks_like_path or path.exists() else value


def _format(value: str, folder: Path) -> str:
    return value if value.partition("@")[0] in NAMED_FORMATS else _file(value, folder)


# --- files ------------------------------------------------------------------------------------------------

Config = TypeVar("Config", AgentConfig, TrainConfig)


def load_config(kind: type[Config], path: Path, overrides: Sequence[str] = (), folder: Path | None = None) -> Config:
    """Read `path` as `kind`, with overrides `a.b=c`. Raises ConfigError saying what is wrong where.

    Relative paths are taken from `folder`, or else from the folder of `path`.
    """
    document = read_toml(path)
    for override in overrides:
        _override(document, override)
    return parse_config(kind, document, str(path)).rebased((folder or path.parent).absolute())


def read_toml(path: Path) -> dict[str, Any]:
    """One TOML document. Raises ConfigError with line and column where it is broken."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a directory; name the TOML file in it") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text at byte {error.start}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: broken TOML: {error}") from None


def parse_config(kind: type[Config], document: Mapping[str, Any], source: str) -> Config:
    """`document` as `kind`; `source` is named in errors. Paths stay as they are written."""
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise ConfigError(f"{source}: {'; '.join(_explain(kind, error))}") from None


def resolved(config: _Table) -> str:
    """The whole configuration as TOML, defaults included."""
    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))


def _override(document: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not equals or not all(parts):
        raise ConfigError(f"override {override!r}: write it as key.of.table=value")
    table = document
    for depth, part in enumerate(parts[:-1], start=1):
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"override {override!r}: {'.'.join(parts[:depth])} is a value, not a table")
        table = cast("dict[str, Any]", inner)
    try:
        table[parts[-1]] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        table[parts[-1]] = text.strip()


# --- what is wrong, in words ------------------------------------------------------------------------------


def _explain(kind: type[BaseModel], error: ValidationError) -> Iterator[str]:
    for problem in error.errors(include_url=False):
        tables, keys = _where(kind, problem["loc"])
        place = ".".join(keys[:-1])
        at = f" in [{place}]" if place else ""
        match problem["type"]:
            case "extra_forbidden":
                yield f"unknown key {keys[-1]!r}{at}{_nearest(keys[-1], tables)}"
            case "missing":
                yield f"key {keys[-1]!r} is missing{at}"
            case "value_error":
                prefix = f"[{'.'.join(keys)}]: " if keys else ""
                yield prefix + str(problem["msg"]).removeprefix("Value error, ")
            case _:
                wrong, key = str(problem["msg"]), keys[-1] if keys else "the file"
                yield f"{key}{at}: {wrong[:1].lower()}{wrong[1:]}, not {problem['input']!r}"


def _where(kind: type[BaseModel], location: Sequence[str | int]) -> tuple[list[type[BaseModel]], list[str]]:
    """The tables that the last key of a location could stand in, and its keys without the tags of unions."""
    tables, keys = [kind], list[str]()
    for index, part in enumerate(location):
        tagged = [table for table in tables if len(tables) > 1 and table.model_fields["type"].default == part]
        if tagged:
            tables = tagged
            continue
        keys.append(str(part))
        if index < len(location) - 1:
            fields = [table.model_fields[part] for table in tables if part in table.model_fields]
            tables = [inner for field in fields for inner in _tables(field.annotation)]
    return tables, keys


def _tables(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [table for inner in typing.get_args(annotation) for table in _tables(inner)]


def _nearest(key: str, tables: Sequence[type[BaseModel]]) -> str:
    known = [name for table in tables for name in table.model_fields]
    near = difflib.get_close_matches(key, known, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known: {', '.join(known)}" if known else ""

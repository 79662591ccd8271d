"""Configuration: TOML files become frozen data, and everything a user can get wrong in one has a clear error.

Two documents: `AgentConfig` (the `umi.toml` of a run directory, or written by hand to name checkpoints and
endpoints) and `TrainConfig` (one training run). Relative paths are relative to the file's own folder. An
override `a.b=c` is read as if the file said so; `resolved` writes a configuration back so that it loads equal.
"""

from alpha_umi.config.agents import (
    AgentConfig,
    Dtype,
    EndpointConfig,
    LocalConfig,
    RoleConfig,
    RolesConfig,
    SamplingConfig,
    SamplingsConfig,
)
from alpha_umi.config.files import RECIPES, load_config, parse_config, read_toml, recipe_names, resolved
from alpha_umi.config.tables import NAMED_FORMATS
from alpha_umi.config.training import (
    AdapterConfig,
    DataConfig,
    Method,
    ModelConfig,
    SpreadConfig,
    StageConfig,
    StagesConfig,
    TinyConfig,
    TrainConfig,
    WeightsConfig,
)

__all__ = [
    "NAMED_FORMATS",
    "RECIPES",
    "AdapterConfig",
    "AgentConfig",
    "DataConfig",
    "Dtype",
    "EndpointConfig",
    "LocalConfig",
    "Method",
    "ModelConfig",
    "RoleConfig",
    "RolesConfig",
    "SamplingConfig",
    "SamplingsConfig",
    "SpreadConfig",
    "StageConfig",
    "StagesConfig",
    "TinyConfig",
    "TrainConfig",
    "WeightsConfig",
    "load_config",
    "parse_config",
    "read_toml",
    "recipe_names",
    "resolved",
]

"""Configuration: TOML files read into frozen dataclasses and validated, with clear errors.

Six documents: `AgentConfig` (the `umi.toml` of a run directory, or written by hand to name checkpoints and
endpoints), `EnvironmentConfig` (where tools are run), `RolloutConfig`, `TrainConfig` and `PretrainConfig` (one run of
either kind), and `StudyConfig` (many training runs, compared).
Relative paths are relative to the file's own folder. An override `a.b=c` is read as if the file said so; `resolved`
writes a configuration back so that it loads equal.
"""

from alpha_umi.config.agents import (
    AgentConfig,
    Dtype,
    EndpointConfig,
    LocalConfig,
    PrefillConfig,
    ProvenanceConfig,
    RoleConfig,
    RolesConfig,
    SamplingConfig,
    SamplingsConfig,
)
from alpha_umi.config.environments import (
    PLACES,
    AccessConfig,
    BfclConfig,
    BudgetConfig,
    EnvironmentConfig,
    HttpConfig,
    McpConfig,
    OpenApiConfig,
    PythonConfig,
    RapidApiConfig,
    ReplayConfig,
    SimulatedConfig,
    Tau2Config,
    WorldConfig,
)
from alpha_umi.config.files import (
    RECIPES,
    load_config,
    make_config,
    merged,
    parse_config,
    read_recipe,
    read_toml,
    recipe_names,
    resolved,
)
from alpha_umi.config.rollouts import ClientReference, LimitsConfig, RetrievalConfig, RolloutConfig
from alpha_umi.config.study import StudyConfig, VariantConfig
from alpha_umi.config.tables import NAMED_FORMATS, is_code
from alpha_umi.config.training import (
    AdapterConfig,
    DataConfig,
    Method,
    ModelConfig,
    PretrainConfig,
    SpreadConfig,
    StageConfig,
    StagesConfig,
    TinyConfig,
    TrainConfig,
    WeightsConfig,
)

__all__ = [
    "NAMED_FORMATS",
    "PLACES",
    "RECIPES",
    "AccessConfig",
    "AdapterConfig",
    "AgentConfig",
    "BfclConfig",
    "BudgetConfig",
    "ClientReference",
    "DataConfig",
    "Dtype",
    "EndpointConfig",
    "EnvironmentConfig",
    "HttpConfig",
    "LimitsConfig",
    "LocalConfig",
    "McpConfig",
    "Method",
    "ModelConfig",
    "OpenApiConfig",
    "PrefillConfig",
    "PretrainConfig",
    "ProvenanceConfig",
    "PythonConfig",
    "RapidApiConfig",
    "ReplayConfig",
    "RetrievalConfig",
    "RoleConfig",
    "RolesConfig",
    "RolloutConfig",
    "SamplingConfig",
    "SamplingsConfig",
    "SimulatedConfig",
    "SpreadConfig",
    "StageConfig",
    "StagesConfig",
    "StudyConfig",
    "Tau2Config",
    "TinyConfig",
    "TrainConfig",
    "VariantConfig",
    "WeightsConfig",
    "WorldConfig",
    "is_code",
    "load_config",
    "make_config",
    "merged",
    "parse_config",
    "read_recipe",
    "read_toml",
    "recipe_names",
    "resolved",
]

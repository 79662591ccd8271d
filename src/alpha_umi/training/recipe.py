"""Training recipes: a method as ordered steps, and the folder of every role of the finished agent.

| method               | steps                                                      | plays                        |
|----------------------|------------------------------------------------------------|------------------------------|
| glpft                | backbone; then planner, caller, summarizer from it         | three roles, or the backbone |
| glpft-without-reuse  | the same, each stage on its own half of the instructions   | three roles, or the backbone |
| one-stage            | planner, caller, summarizer from the base model            | three roles                  |
| multi-task           | one model on the examples of all three roles               | the three roles, by prompt   |
| single               | backbone                                                   | the backbone                 |

With adapters the role models are LoRA adapters on the backbone (on the base model in one-stage, whose role tokens
then stay as they were drawn: the first stage is what trains them); learned jointly they are one step, `roles`.
The paper gives neither the split of "without reuse" nor the training budget of the baselines. Here a hash of the
query (its place in the corpus) draws the halves, so that they do not follow the order of the files, and equal
queries stay together; a baseline step is tuned as the table of its name says, and multi-task, which starts from the
base model as the first stage does, as [stages.backbone] says.
"""

from __future__ import annotations

from dataclasses import dataclass

from alpha_umi.config import AdapterConfig, LocalConfig, RolesConfig, StageConfig, TrainConfig
from alpha_umi.roles import AGENT_ROLES
from alpha_umi.types import Role

BASE = "base"
"""Start of the first steps; a folder of the run only where adapters lie on it."""
MULTI_TASK = "multi-task"
JOINT = "roles"
_FIRST_HALF, _SECOND_HALF, _WHOLE = (0.0, 0.5), (0.5, 1.0), (0.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Step of a recipe: a model or some adapters, learned from the examples of some roles."""

    name: str
    """Its folder in the run directory, and the name of its history."""
    table: str
    """Its settings are [stages.TABLE]."""
    settings: StageConfig
    learns: tuple[Role, ...]
    """Roles whose examples it learns from."""
    starts_from: str
    """BASE, or the name of an earlier step."""
    part: tuple[float, float] = _WHOLE
    """Range of split positions (see training.data.corpus) of the instructions: from the first to below the second."""
    adapter: AdapterConfig | None = None
    """None: all weights are learned. Else LoRA: one adapter per role in `learns`, or a single one that is `merged`."""
    merged: bool = False
    """The step's folder holds a whole model, into which its adapter was merged."""

    @property
    def folders(self) -> dict[Role, str]:
        """Folder of each role's weights or adapter, relative to the run directory."""
        if self.adapter is None or self.merged or len(self.learns) == 1:
            return dict.fromkeys(self.learns, self.name)
        return {role: f"{self.name}/{role.value}" for role in self.learns}


def make_steps(config: TrainConfig) -> tuple[Step, ...]:
    """Make the steps of `config.method`, each after those that it starts from."""
    match config.method:
        case "single":
            return (_backbone(config),)
        case "multi-task":
            return (_multi_task(config),)
        case "one-stage":
            return _role_steps(config, BASE)
        case "glpft":
            backbone = _backbone(config)
            return (backbone, *_role_steps(config, backbone.name))
        case "glpft-without-reuse":
            backbone = _backbone(config, _FIRST_HALF)
            return (backbone, *_role_steps(config, backbone.name, _SECOND_HALF))


def keeps_base(config: TrainConfig) -> bool:
    """Test if the run directory needs a folder BASE: the base model with the format's tokens, under adapters."""
    return any(step.starts_from == BASE and step.adapter is not None and not step.merged for step in make_steps(config))


def agent_roles(config: TrainConfig) -> RolesConfig:
    """Models and adapters of the finished agent's roles; folders are relative to the run directory."""
    roles: dict[str, LocalConfig] = {}
    for step in make_steps(config):
        for role, folder in step.folders.items():
            on_top = step.adapter is not None and not step.merged
            local = LocalConfig(model=step.starts_from, adapter=folder) if on_top else LocalConfig(model=folder)
            roles[role.value] = local
    return RolesConfig.model_validate(roles)


def _backbone(config: TrainConfig, part: tuple[float, float] = _WHOLE) -> Step:
    adapter = _whole_model_adapter(config)
    return Step(
        name=Role.BACKBONE.value,
        table=Role.BACKBONE.value,
        settings=config.stages.backbone,
        learns=(Role.BACKBONE,),
        starts_from=BASE,
        part=part,
        adapter=adapter,
        merged=adapter is not None,
    )


def _multi_task(config: TrainConfig) -> Step:
    adapter = _whole_model_adapter(config)
    return Step(
        name=MULTI_TASK,
        table=Role.BACKBONE.value,
        settings=config.stages.backbone,
        learns=_learned(config),
        starts_from=BASE,
        adapter=adapter,
        merged=adapter is not None,
    )


def _role_steps(config: TrainConfig, start: str, part: tuple[float, float] = _WHOLE) -> tuple[Step, ...]:
    adapter = None if config.adapter.kind == "none" else config.adapter
    if adapter is not None and adapter.is_joint:
        joint = Step(
            name=JOINT,
            table=JOINT,
            settings=config.stages.roles,
            learns=_learned(config),
            starts_from=start,
            part=part,
            adapter=adapter,
        )
        return (joint,)
    return tuple(
        Step(
            name=role.value,
            table=role.value,
            settings=config.stages.of(role),
            learns=(role,),
            starts_from=start,
            part=part,
            adapter=adapter,
        )
        for role in _learned(config)
    )


def _learned(config: TrainConfig) -> tuple[Role, ...]:
    return (*AGENT_ROLES, *(config.optional_roles or ()))


def _whole_model_adapter(config: TrainConfig) -> AdapterConfig | None:
    """Adapter of a model that is no role's own: a plain LoRA, alone and active at every token; None: it has none."""
    if config.adapter.backbone == "full":
        return None
    return config.adapter.model_copy(update={"kind": "lora", "joint": False})

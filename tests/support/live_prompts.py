"""Prompts that a live agent of one model is shown along a trajectory."""

from alpha_umi.agent import RoleModel, SingleAgent
from alpha_umi.models.scripted import ScriptedModel
from alpha_umi.training.data.examples import targets
from alpha_umi.types import Role


async def backbone_prompts(trajectory, form):
    shown = {}
    for target in targets(trajectory, Role.BACKBONE):
        model = ScriptedModel(iter([form.write(Role.BACKBONE, target.said)]))
        agent = SingleAgent(backbone=RoleModel(model=model), format=form)
        await agent.propose(trajectory.task, trajectory.turns[: target.at])
        shown[target.at] = model.prompts[0]
    return shown


async def along_each(prompts, trajectories, *more):
    """What `prompts` finds along each trajectory, in one event loop: a loop of its own for each takes longer."""
    return [await prompts(trajectory, *more) for trajectory in trajectories]

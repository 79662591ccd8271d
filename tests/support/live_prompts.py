"""Prompts that a live agent of one model is shown along a trajectory."""

import asyncio

from alpha_umi.agent import RoleModel, SingleAgent
from alpha_umi.models.scripted import ScriptedModel
from alpha_umi.training.data.examples import targets
from alpha_umi.types import Role


def backbone_prompts(trajectory, form):
    async def drive():
        shown = {}
        for target in targets(trajectory, Role.BACKBONE):
            model = ScriptedModel(iter([form.write(Role.BACKBONE, target.said)]))
            agent = SingleAgent(backbone=RoleModel(model=model), format=form)
            await agent.propose(trajectory.task, trajectory.turns[: target.at])
            shown[target.at] = model.prompts[0]
        return shown

    return asyncio.run(drive())

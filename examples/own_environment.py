"""An environment of one's own: tools with a state that a search can branch.

python examples/own_environment.py
PYTHONPATH=examples umi rollout --agent RUN --queries tasks.jsonl --env own_environment:Pantry --out rollouts
"""

import alpha_umi as umi
from alpha_umi.arguments import Fault, read_arguments

TAKE = umi.ToolSpec(
    name="take",
    description="Take some of an item out of the pantry.",
    parameters={
        "type": "object",
        "properties": {"item": {"type": "string"}, "count": {"type": "integer", "default": 1}},
        "required": ["item"],
    },
)
LOOK = umi.ToolSpec(name="look", description="Everything in the pantry.", parameters={"type": "object"})


class Pantry:
    """Three things make an environment: `tools`, `execute` and `fork`. Every task begins with a new one."""

    def __init__(self, items: dict[str, int] | None = None) -> None:
        self.items = {"egg": 6, "apple": 2} if items is None else items

    @property
    def tools(self) -> tuple[umi.ToolSpec, ...]:
        return (TAKE, LOOK)

    async def execute(self, call: umi.Call) -> umi.Observation:
        """Whatever a call does wrong is a status; nothing is raised."""
        spec = next((spec for spec in self.tools if spec.name == call.name), None)
        if spec is None:
            return umi.Observation(content=f"there is no tool '{call.name}'", status=umi.ToolStatus.UNKNOWN_TOOL)
        arguments = read_arguments(spec, call.arguments)
        if isinstance(arguments, Fault):
            return umi.Observation(content=arguments.reason, status=umi.ToolStatus.BAD_ARGUMENTS)
        if spec is LOOK:
            return umi.Observation(content=str(self.items))
        item, count = str(arguments["item"]), int(str(arguments.get("count", 1)))
        if self.items.get(item, 0) < count:
            return umi.Observation(content=f"not enough of {item}", status=umi.ToolStatus.ERROR)
        self.items[item] -= count
        return umi.Observation(content=f"{self.items[item]} {item} left")

    def fork(self) -> "Pantry":
        """A copy: what one branch of a search takes, another one still has."""
        return Pantry(dict(self.items))


class Cook:
    """A scripted agent that takes two eggs."""

    async def propose(self, task: umi.Task, turns: tuple[umi.Turn, ...]) -> umi.Proposal:
        seen = [turn.content for turn in turns if isinstance(turn, umi.Observation)]
        if seen:
            plan = umi.Plan(thought="I have them.", decision=umi.Decision.CONCLUDE)
            return umi.Proposal(turns=(plan, umi.Answer(text=f"Here they are; {seen[-1]}.")))
        plan = umi.Plan(thought="I take two.", decision=umi.Decision.CALL)
        return umi.Proposal(turns=(plan, umi.Call(name="take", arguments='{"item": "egg", "count": 2}')))


def main() -> None:
    pantry = Pantry()
    print(umi.ask("Give me two eggs.", tools=pantry, agent=Cook()).answer)


if __name__ == "__main__":
    main()

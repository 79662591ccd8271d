"""A format of one's own, every turn a line of JSON: `format = "own_format:JsonLines"` in a recipe or an agent file.

python examples/own_format.py   (elsewhere with this folder on PYTHONPATH)
"""

import json

import alpha_umi as umi
from alpha_umi.agent import MultiAgent, RoleModel
from alpha_umi.models.scripted import ScriptedModel
from alpha_umi.types import FinishReason, Part, Span

PARTS = {umi.Plan: Part.THOUGHT, umi.Call: Part.ARGUMENTS, umi.Answer: Part.ANSWER}
KEYS = {umi.User: "user", umi.Plan: "plan", umi.Call: "call", umi.Observation: "result", umi.Answer: "answer"}


class JsonLines:
    """Law, which a test can check: `parse(role, write(role, turns)) == turns`, and `parse` reads any text."""

    name = "json-lines"
    end = "<|end|>"  # ends every completion
    special_tokens = ("<|end|>",)  # one token each

    def role_token(self, role: umi.Role) -> str:
        return ""

    def render(self, role: umi.Role, task: umi.Task, turns: tuple[umi.Turn, ...]) -> str:
        tools = [{"tool": spec.name, "does": spec.description, **spec.parameters} for spec in task.tools]
        return "\n".join([*map(json.dumps, tools), *map(line, turns), f"{role.value}:\n"])

    def write(self, role: umi.Role, turns: tuple[umi.Turn, ...]) -> str:
        return "\n".join(map(line, turns))

    def spans(self, role: umi.Role, turns: tuple[umi.Turn, ...]) -> tuple[Span, ...]:
        return tuple(("\n" * (at > 0) + line(turn), PARTS[type(turn)]) for at, turn in enumerate(turns))

    def parse(self, role: umi.Role, text: str, finish: FinishReason = FinishReason.STOP) -> tuple[umi.Turn, ...]:
        return tuple(read(role, each) for each in text.removesuffix(self.end).split("\n"))

    def grammar(self, role: umi.Role, task: umi.Task, turns: tuple[umi.Turn, ...] = ()) -> None:
        """Any text is allowed."""

    def to_document(self) -> dict:
        """What a run directory keeps of the format."""
        return {"kind": "own_format:JsonLines"}


def line(turn: umi.Turn) -> str:
    values = [getattr(turn, name) for name in turn.__dataclass_fields__ if name not in ("status", "confidence")]
    return json.dumps({KEYS[type(turn)]: values})


def read(role: umi.Role, text: str) -> umi.Turn:
    try:
        ((key, values),) = json.loads(text).items()
        match key, values:
            case "plan", [str(thought), str(decision)]:
                return umi.Plan(thought=thought, decision=umi.Decision(decision))
            case "call", [str(name), str(arguments)]:
                return umi.Call(name=name, arguments=arguments)
            case "answer", [str(answer)]:
                return umi.Answer(text=answer)
    except (ValueError, AttributeError, RecursionError):
        pass  # no line of this format
    other = {umi.Role.CALLER: umi.Call(name="", arguments=text), umi.Role.SUMMARIZER: umi.Answer(text=text)}
    return other.get(role, umi.Plan(thought=text, decision=umi.Decision.NONE))


def main() -> None:
    def add(left: int, right: int) -> int:
        return left + right

    replies = ['{"plan": ["I add.", "call"]}', r'{"call": ["add", "{\"left\": 2, \"right\": 3}"]}']
    model = ScriptedModel([*replies, '{"plan": ["Done.", "conclude"]}', '{"answer": ["It is 5."]}'])
    agent = MultiAgent(role_models={role: RoleModel(model=model) for role in list(umi.Role)[:3]}, format=JsonLines())
    print(umi.ask("What is 2 + 3?", tools=[add], agent=agent).answer, model.prompts[-1], sep="\n")


if __name__ == "__main__":
    main()

"""Statistics of trajectory files: turns, calls, supervised examples per role, and lengths in characters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from alpha_umi.formats.shared import SharedFormat
from alpha_umi.formats.signatures import signature
from alpha_umi.preparation.checks import argument_fault, is_offered
from alpha_umi.training.data.examples import count_targets
from alpha_umi.types import Answer, Call, Json, Observation, Plan, Role, Trajectory


@dataclass(frozen=True, slots=True)
class Contents:
    """Counts over the trajectories of a file; `add` counts one more."""

    trajectories: Counter[str] = field(default_factory=Counter[str])
    """By the reason why they ended."""
    tools: Counter[str] = field(default_factory=Counter[str])
    """Trajectories that offer each tool, by its name."""
    turns: Counter[str] = field(default_factory=Counter[str])
    decisions: Counter[str] = field(default_factory=Counter[str])
    observations: Counter[str] = field(default_factory=Counter[str])
    """By status."""
    calls: Counter[str] = field(default_factory=Counter[str])
    """`fitting`, `unknown_tool` and `bad_arguments`, as the task's tools declare them."""
    examples: Counter[str] = field(default_factory=Counter[str])
    """Supervised examples, by role."""
    lengths: Mapping[str, Counter[int]] = field(default_factory=dict[str, Counter[int]])
    """Counts of lengths, in characters."""

    def add(self, trajectory: Trajectory) -> None:
        """Count one trajectory with correct types."""
        self.trajectories[trajectory.stop.value] += 1
        self.tools.update({tool.name for tool in trajectory.task.tools})
        self.examples.update({role.value: count for role, count in count_targets(trajectory).items() if count})
        for turn in trajectory.turns:
            self.turns[type(turn).__name__.lower()] += 1
            match turn:
                case Plan():
                    self.decisions[turn.decision.value] += 1
                case Observation():
                    self.observations[turn.status.value] += 1
                case Call():
                    self.calls[_fit(turn, trajectory)] += 1
                case _:
                    pass
        for name, length in _lengths(trajectory):
            self.lengths[name][length] += 1

    def to_document(self) -> dict[str, Json]:
        """JSON document of the counts."""
        return {
            "trajectories": sum(self.trajectories.values()),
            "stop": dict(self.trajectories),
            "tools": len(self.tools),
            "turns": dict(self.turns),
            "decisions": dict(self.decisions),
            "observations": dict(self.observations),
            "calls": dict(self.calls),
            "examples": dict(self.examples),
            "characters": {name: dict(spread(counts)) for name, counts in self.lengths.items()},
        }


def new_contents() -> Contents:
    """Create counts of zero."""
    names = ("query", "tools", "thought", "arguments", "observation", "answer", "prompt")
    return Contents(lengths={name: Counter() for name in names})


def _fit(call: Call, trajectory: Trajectory) -> str:
    if not is_offered(call, trajectory):
        return "unknown_tool"
    return "bad_arguments" if argument_fault(call, trajectory) else "fitting"


def _lengths(trajectory: Trajectory) -> Iterator[tuple[str, int]]:
    """Lengths of the query, the tools' signatures, every turn, and the planner's last prompt in the `shared` format."""
    task, turns = trajectory.task, trajectory.turns
    yield "query", len(task.query)
    yield "tools", sum(len(signature(tool)) for tool in task.tools)
    for turn in turns:
        match turn:
            case Plan(thought=text):
                yield "thought", len(text)
            case Call(arguments=text):
                yield "arguments", len(text)
            case Observation(content=text):
                yield "observation", len(text)
            case Answer(text=text):
                yield "answer", len(text)
            case _:
                pass
    plans = [at for at, turn in enumerate(turns) if isinstance(turn, Plan)]
    if plans:
        yield "prompt", len(SharedFormat().render(Role.PLANNER, task, turns[: plans[-1]]))


def spread(counts: Counter[int]) -> dict[str, int]:
    """Median, 95th percentile and maximum of counted values."""
    found, wanted, seen, total = {}, {"median": 0.5, "p95": 0.95, "max": 1.0}, 0, sum(counts.values())
    for value in sorted(counts):
        seen += counts[value]
        for name, fraction in wanted.items():
            if name not in found and seen >= fraction * total:
                found[name] = value
    return {name: found.get(name, 0) for name in wanted}

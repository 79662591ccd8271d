"""Cards of rollouts: the query, every turn in the colour of its role, the search tree, the verdict."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from alpha_umi.report.markup import Html, join, tag
from alpha_umi.report.trees import draw_key, draw_tree
from alpha_umi.roles import optional_turn
from alpha_umi.rollouts.runner import Rollout, count_calls
from alpha_umi.types import (
    Answer,
    Call,
    Decision,
    Observation,
    Plan,
    StopReason,
    ToolSpec,
    ToolStatus,
    Turn,
    User,
)

_NEXT = {
    Decision.CALL: "caller",
    Decision.CONCLUDE: "summarizer",
    Decision.GIVE_UP: "gives up",
    Decision.NONE: "no decision",
}
_STOPS = {
    StopReason.ANSWERED: "answered",
    StopReason.GAVE_UP: "gave up",
    StopReason.LIMIT: "out of budget",
    StopReason.CANCELLED: "cancelled",
    StopReason.UNFINISHED: "unfinished",
}


def write_card(rollout: Rollout, title: str = "", *, unfolded: bool = False) -> Html:
    """Write a rollout as a `details` element; `title` stands before the query."""
    task = rollout.trajectory.task
    body = [
        tag("p", tag("b", "Not verified: "), rollout.error, class_="why") if rollout.error else None,
        tag("p", "The verifier: ", "; ".join(_reasons(rollout)), class_="why") if _reasons(rollout) else None,
        write_turns(rollout.trajectory.turns),
        _tree(rollout),
        _tools(task.tools),
    ]
    summary = tag(
        "summary",
        write_badge(rollout),
        tag("span", title, class_="kind") if title else None,
        tag("span", task.query, class_="query"),
        tag("span", _cost(rollout), class_="cost"),
    )
    return tag("details", summary, tag("div", *body, class_="body"), class_="card", open=unfolded)


def write_badge(rollout: Rollout) -> Html:
    """Write the verdict as a label: right, wrong, error; without a verdict, the reason of its end."""
    if rollout.error:
        return tag("span", "error", class_="badge wrong")
    if rollout.verdict is None:
        return tag("span", _STOPS[rollout.trajectory.stop], class_="badge open")
    return (
        tag("span", "right", class_="badge right") if is_right(rollout) else tag("span", "wrong", class_="badge wrong")
    )


def is_right(rollout: Rollout) -> bool:
    """Tell from the verdict whether a rollout passed; False without one."""
    return rollout.verdict is not None and bool(rollout.verdict.get("passed"))


def write_turns(turns: Sequence[Turn]) -> Html:
    """Write turns as an ordered list."""
    return tag("ol", *(_turn(turn) for turn in turns), class_="turns")


def _turn(turn: Turn) -> Html:
    if (optional := optional_turn(turn)) is not None:
        spec, text = optional
        return _item("user", spec.label, tag("p", text))
    match turn:
        case User(text=text):
            return _item("user", "user", tag("p", text))
        case Plan(thought=thought, decision=decision):
            to = tag("span", "→ ", _NEXT[decision], class_=f"next {'stop' if decision is Decision.GIVE_UP else ''}")
            return _item("planner", "planner", tag("p", thought.strip(), " ", to))
        case Call(name=name, arguments=arguments, confidence=confidence):
            sure = None if confidence is None else tag("span", f" log p {confidence:.2f}", class_="cost")
            return _item("caller", "caller", tag("pre", tag("b", name or "no tool"), " ", arguments), sure)
        case Observation(content=content, status=ToolStatus.OK):
            return _item("tool", "tool", tag("pre", _indented(content)))
        case Observation(content=content, status=status):
            failure = tag("span", status.value.replace("_", " "), class_="status")
            return _item("tool failed", "tool", tag("pre", failure, " ", content))
        case Answer(text=text):
            return _item("summarizer", "summarizer", tag("p", text))


def _item(kind: str, speaker: str, *body: Html | None) -> Html:
    return tag("li", tag("span", speaker, class_="who"), *body, class_=f"turn {kind}")


def _indented(content: str) -> str:
    """JSON that is too long for a line, over several."""
    if len(content) <= 100:
        return content
    try:
        return json.dumps(json.loads(content), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return content


def _reasons(rollout: Rollout) -> list[str]:
    reasons = None if rollout.verdict is None else rollout.verdict.get("reasons")
    return [str(reason) for reason in reasons] if isinstance(reasons, list) else []


def _cost(rollout: Rollout) -> str:
    return ", ".join(_counted(rollout))


def _counted(rollout: Rollout) -> Iterator[str]:
    calls = count_calls(rollout.nodes)
    yield f"{calls} call{'' if calls == 1 else 's'}"
    usage = rollout.trajectory.usage
    if usage.completions:
        yield f"{usage.completions} completions"
        yield f"{usage.prompt_tokens + usage.completion_tokens:,} tokens"
    if rollout.seconds:
        yield f"{rollout.seconds:.1f} s"


def _tree(rollout: Rollout) -> Html | None:
    """The search tree, where it branched."""
    parents = [node.parent for node in rollout.nodes]
    if len(parents) == len(set(parents)):
        return None
    caption = tag("figcaption", "The search tree, from left to right; the marked branch is the trajectory above.")
    tree = rollout.tree
    return tag("figure", caption, tag("div", draw_tree(tree), class_="wide"), draw_key(tree), class_="tree")


def _tools(tools: Sequence[ToolSpec]) -> Html:
    items = (tag("li", tag("code", tool.name), " ", tag("span", tool.description)) for tool in tools)
    summary = tag("summary", f"{len(tools)} tool{'' if len(tools) == 1 else 's'} offered")
    return tag("details", summary, tag("ul", *items), class_="tools")


def write_cards(rollouts: Sequence[Rollout]) -> Html:
    """Write a card for each rollout."""
    return join(*(write_card(rollout) for rollout in rollouts))

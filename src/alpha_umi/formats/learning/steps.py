"""Recovery, from example rows, of the text by which a backbone's prompts and completions join a plan and its action."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from alpha_umi.formats.learning.processed import Row
from alpha_umi.formats.learning.wrappers import Chain, common_end, common_start, last_line, recover_wrappers
from alpha_umi.formats.marks import Marks
from alpha_umi.types import Decision, Role

_JOINED = frozenset({("thought", "call"), ("thought", "answer")})
_CALL = "Action: "
_LABELLED = re.compile(r"\n[^\n:]{1,30}: ")


def recover_step_wrappers(rows: Sequence[Row], marks: Marks) -> dict[str, str]:
    """Recover the wrappers user, step and observation; `call`: the text between a thought and its call."""
    chains = [
        Chain(group="backbone", text=row.input, turns=parts)
        for row in rows
        if (parts := tuple(_parts(row.turns, marks))) and all(part[0] != "plan" for part in parts)
    ]
    found = recover_wrappers(chains, _JOINED)
    step = (
        f"{found.opening.get('thought', 'step: ')}{{target}}{found.closing.get('call', found.closing.get('user', ''))}"
    )
    wrappers = {"step": step}
    for kind in ("user", "observation"):
        wrappers[kind] = f"{found.opening.get(kind, f'{kind}: ')}{{text}}{found.closing.get(kind, '')}"
    joint = found.joints.get(("thought", "call"))
    return wrappers if joint is None else wrappers | {"call": joint}


def _parts(turns: Sequence[tuple[str, str]], marks: Marks) -> Iterator[tuple[str, str]]:
    """A plan that asked for nothing is written as it stands and shows no step: kind `plan`."""
    following = (*(kind for kind, _ in turns[1:]), "")
    for (kind, words), follower in zip(turns, following, strict=True):
        if kind != "planner":
            yield {"caller": "call", "summarizer": "answer"}.get(kind, kind), words
        elif follower in ("caller", "summarizer"):
            yield "thought", marks.read_plan(words).thought.strip()
        else:
            yield "plan", words


def learn_targets(
    samples: Mapping[Role, Sequence[Row]], marks: Marks, wrappers: Mapping[str, str], guessed: list[str]
) -> dict[str, str]:
    """Learn the text that joins a thought to a call, an answer and a give-up in the backbone's completions."""
    plans = {(row.documents, row.turns): row.target for row in samples.get(Role.PLANNER, ())}
    answers = {row.target for row in samples.get(Role.SUMMARIZER, ()) if row.target.strip()}
    rests: dict[Decision, list[str]] = {decision: [] for decision in Decision}
    ends: list[str] = []
    for row in samples[Role.BACKBONE]:
        plan = marks.read_plan(plans.get((row.documents, row.turns), ""))
        thought = plan.thought.strip()
        if plan.decision is not Decision.NONE and row.target.startswith(thought):
            rests[plan.decision].append(row.target[len(thought) :])
        elif _CALL in row.target:
            rests[Decision.CALL].append(_joint_before(row.target) + _CALL)
        else:
            ends.append(row.target)
    call = wrappers.get("call")
    if call is None:
        joints = Counter(rest.partition(_CALL)[0] for rest in rests[Decision.CALL] if _CALL in rest)
        call = joints.most_common(1)[0][0] if joints else "\n"
    conclude = _conclusion(rests[Decision.CONCLUDE], answers, ends, guessed)
    gives_up = Counter(rests[Decision.GIVE_UP]).most_common(1)
    if not gives_up:
        gives_up = Counter(end[end.rfind(conclude) :] for end in ends if conclude in end).most_common(1)
        guessed.append("backbone_turns.target.give_up")
    give_up = gives_up[0][0] if gives_up and (rests[Decision.GIVE_UP] or gives_up[0][1] > 1) else f"{conclude}give up."
    return {
        "call": f"{{thought}}{call}{{call}}",
        "conclude": f"{{thought}}{conclude}{{answer}}",
        "give_up": f"{{thought}}{give_up}",
    }


def _joint_before(target: str) -> str:
    before = target.partition(_CALL)[0]
    return before[len(before.rstrip()) :]


def _conclusion(rests: Sequence[str], answers: set[str], ends: Sequence[str], guessed: list[str]) -> str:
    """From plans and answers where they are known; else from what answers among the completions start with."""
    joints = Counter(rest[: -len(answer)] for rest in rests for answer in answers if rest.endswith(answer))
    if joints:
        return joints.most_common(1)[0][0]
    labels = Counter(label for text in (rests or ends) for label in set(_LABELLED.findall(text)))
    guessed.append("backbone_turns.target.conclude")
    if rests:
        start = common_start(rests)
        return start[: start.rfind(": ") + 2] if ": " in start else last_line(start)
    before = [end[: -len(answer)] for end in ends for answer in answers if end.endswith(answer)]
    if before:
        return "\n" + last_line(common_end(before))
    return labels.most_common(1)[0][0] if labels else "\nconclusion: "

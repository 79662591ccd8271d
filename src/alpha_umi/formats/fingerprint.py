"""Fingerprint of a format: a short hash of the prompts and completions that it writes for a probe task.

An agent can only be served by a format with the fingerprint of the one that it was trained on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from alpha_umi.errors import FormatError
from alpha_umi.protocols import Format
from alpha_umi.types import Answer, Call, Decision, Observation, Plan, Role, Task, ToolSpec, ToolStatus, Turn, User

_LENGTH = 16
_TASK = Task(
    id="probe",
    query="How far is A?",
    tools=(
        ToolSpec(
            name="distance",
            description="How far a place is.",
            parameters={
                "type": "object",
                "properties": {"to": {"type": "string", "description": "place"}, "in": {"type": "integer"}},
                "required": ["to"],
                "optional": ["in"],
            },
        ),
        ToolSpec(name="now"),
    ),
)
_CALL = (
    Plan(thought="I need it.\n ", decision=Decision.CALL),
    Call(name="distance", arguments='{"to": "A", "in": 2}'),
)
_END = (Plan(thought="I have it.\n ", decision=Decision.CONCLUDE), Answer(text="It is 7 km."))
_TURNS: tuple[Turn, ...] = (
    User(text=_TASK.query),
    *_CALL,
    Observation(content="no reply", status=ToolStatus.TIMEOUT),
    User(text="Try something else."),
    *_CALL,
    Observation(content='{"km": 7}'),
)
"""Turns of every kind that a prompt may hold."""


def fingerprint(form: Format) -> str:
    """Hash of all that a format renders and writes; independent of the version that its document names."""
    rendered: list[str] = [form.name, form.end, *form.special_tokens]
    for role in Role:
        try:
            for history, said in _asked(role):
                prompt = form.render(role, _TASK, (*_TURNS, *history))
                rendered += [role.value, form.role_token(role), str(prompt), form.write(role, said)]
        except FormatError:  # a format for one model alone has no other roles
            continue
    return hashlib.sha256(json.dumps(rendered).encode()).hexdigest()[:_LENGTH]


def _asked(role: Role) -> Iterator[tuple[tuple[Turn, ...], tuple[Turn, ...]]]:
    """Turns that a role reads beyond the common history, and the turns that it writes after them."""
    match role:
        case Role.PLANNER:
            for plan in (_CALL[0], _END[0], Plan(thought="It cannot be known.", decision=Decision.GIVE_UP)):
                yield (), (plan,)
        case Role.CALLER:
            yield _CALL[:1], _CALL[1:]
        case Role.SUMMARIZER:
            yield _END[:1], _END[1:]
        case Role.BACKBONE:
            yield (), _CALL
            yield (), _END
        case _:
            return  # an optional role writes with another's prompts

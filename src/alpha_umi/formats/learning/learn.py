"""A template format recovered from processed example files, and the proof that it renders them.

The published shape of a row: `{tools, history, input, target}`, history a list of `{from, value}`. The tool
documents, the turns and the names of a row are known texts; what stands around them in `input`, row after
row, is the template. Nothing is taken on trust: the learned document is read back as a TemplateFormat,
renders every row, and rows that it does not render byte for byte are reported.

What no row shows cannot be learned: the document lists it under `guessed`. Calls are read and written in the
published shape (`Action:`, `Action Input:`), tools as JSON lines in ASCII, as every TemplateFormat does.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from alpha_umi.errors import FormatError
from alpha_umi.formats.learning.processed import Row, learn_marks, read_processed
from alpha_umi.formats.learning.steps import learn_targets, recover_step_wrappers
from alpha_umi.formats.learning.wrappers import Chain, Wrappers, common_start, recover_wrappers
from alpha_umi.formats.marks import Marks, read_call
from alpha_umi.formats.template import Filling, TemplateFormat
from alpha_umi.types import Json, Role

SAMPLE = 200
"""Rows of one role that are learned from; all rows are checked against what was learned."""
_CANDIDATES = 8
_PLACEHOLDERS = ("{doc}", "{history}", "{thought}", "{tool_names}")
_SYSTEM = re.compile(r"(?:system|System|SYSTEM)[ ]*:[ ]*")
_LABEL = re.compile(r"[ ]*[^\s{}]+[:>\]=][ ]*\n?$")
_KIND_OF = {Role.PLANNER: "planner", Role.CALLER: "caller", Role.SUMMARIZER: "summarizer"}
_END = "</s>"


class Explained(NamedTuple):
    """Rows of a file in number, and those of them that the learned format renders byte for byte."""

    n_ok: int
    n_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """Learned document of a TemplateFormat, with the rows of the files that it does and does not render."""

    document: Mapping[str, Json]
    explained: Mapping[Role, Explained]
    unexplained: tuple[tuple[Role, int, str], ...]
    """Role, index of the row, and where its input differs from the rendered one."""


def learn(examples: Mapping[Role, Sequence[Mapping[str, Any]]]) -> Learned:
    """Learn the format of processed example files, one sequence of rows per role; the more roles the better.

    Raises FormatError when a file is of another shape, or when what is learned renders less than half of it.
    """
    if not examples:
        raise FormatError("nothing to learn from: give at least one role's example file")
    files = {role: read_processed(role, rows) for role, rows in sorted(examples.items())}
    decisions, guessed = learn_marks(row for rows in files.values() for row in rows)
    marks = Marks(decisions=decisions)
    samples = {role: _sample(rows) for role, rows in files.items()}
    document: dict[str, Json] = {
        "kind": "template",
        "name": "learned",
        "decision_marks": {decision.value: mark for decision, mark in decisions.items()},
    }
    document |= _learn_turns(samples, marks, guessed)
    document["guessed"] = cast("list[Json]", guessed)
    document |= _learn_templates(files, samples, document, marks)
    _settle_summarizer(document, guessed)
    document["guessed"] = cast("list[Json]", sorted(set(guessed)))
    return _prove(document, files, marks)


def _sample(rows: Sequence[Row]) -> Sequence[Row]:
    return rows[:: max(1, len(rows) // SAMPLE)]


# --- turns --------------------------------------------------------------------------------------------


def _learn_turns(samples: Mapping[Role, Sequence[Row]], marks: Marks, guessed: list[str]) -> dict[str, Json]:
    learned: dict[str, Json] = {}
    steps = samples.get(Role.BACKBONE)
    chains = [
        Chain(group=role.value, text=row.input, turns=row.turns)
        for role, rows in samples.items()
        if role is not Role.BACKBONE
        for row in rows
    ]
    step_wrappers = recover_step_wrappers(steps, marks) if steps else {}
    wrappers = recover_wrappers(chains) if chains else Wrappers(opening={}, closing={})
    turns = _write_turns(wrappers, step_wrappers, guessed)
    learned["turns"] = cast("dict[str, Json]", turns)
    closing = wrappers.closing.get("planner", step_wrappers.get("step", "{target}").rpartition("}")[2])
    if not closing.strip():
        guessed.append("target_end")
    learned["target_end"] = closing if closing.strip() else _END
    if steps:
        targets = learn_targets(samples, marks, step_wrappers, guessed)
        learned["backbone_turns"] = {
            "user": step_wrappers["user"],
            "step": step_wrappers["step"],
            "observation": step_wrappers["observation"],
            "target": cast("dict[str, Json]", targets),
        }
    return learned


def _write_turns(wrappers: Wrappers, steps: Mapping[str, str], guessed: list[str]) -> dict[str, str]:
    common = Counter(wrappers.closing.values()).most_common(1)
    likely = common[0][0] if common else "\n"
    turns: dict[str, str] = {}
    for kind in ("user", "planner", "caller", "observation", "summarizer"):
        opening, closing = wrappers.opening.get(kind), wrappers.closing.get(kind)
        if opening is not None and closing is not None:
            turns[kind] = f"{opening}{{text}}{closing}"
            continue
        guessed.append(f"turns.{kind}")
        if opening is None and kind in steps:
            turns[kind] = steps[kind]
        else:
            label = f"{kind}: " if opening is None else opening
            turns[kind] = f"{label}{{text}}{likely}"
    return turns


def _settle_summarizer(document: dict[str, Json], guessed: list[str]) -> None:
    """Set the answer's label, where no history shows one, to the one that the summarizer is asked with."""
    suffixes = cast("dict[str, str]", document["suffixes"])
    turns = cast("dict[str, str]", document["turns"])
    label = suffixes.get(Role.SUMMARIZER.value, "").lstrip(" ")
    if "turns.summarizer" in guessed and label:
        turns["summarizer"] = label + "{text}" + turns["planner"].rpartition("}")[2]


# --- templates ----------------------------------------------------------------------------------------


def _learn_templates(
    files: Mapping[Role, Sequence[Row]],
    samples: Mapping[Role, Sequence[Row]],
    document: Mapping[str, Json],
    marks: Marks,
) -> dict[str, Json]:
    whole = {role: _learn_template(files[role], samples[role], document, marks) for role in files}
    prefix = _SYSTEM.match(common_start(whole.values(), 1.0))
    learned: dict[str, Json] = {"training_prefix": prefix[0] if prefix else ""}
    if prefix:
        learned["variant"] = "training"
    templates: dict[str, Json] = {}
    suffixes: dict[str, Json] = {}
    for role, template in whole.items():
        body = template.removeprefix(prefix[0]) if prefix else template
        suffixes[role.value] = _suffix(role, body, document)
        templates[role.value] = body[: len(body) - len(cast("str", suffixes[role.value]))]
    return {**learned, "templates": templates, "suffixes": suffixes}


def _learn_template(rows: Sequence[Row], sample: Sequence[Row], document: Mapping[str, Json], marks: Marks) -> str:
    """The template, its suffix included, that renders most rows of one file."""
    role = rows[0].role
    bare = _format(role, "{history}", document)
    found: Counter[str] = Counter()
    for row in sample:
        candidate = _template_of(row, bare.render(role, row.task, row.history(marks)))
        if candidate is not None:
            found[candidate] += 1
    best, most = "", -1
    for candidate, _ in sorted(found.items(), key=lambda item: (-item[1], item[0]))[:_CANDIDATES]:
        form = _format(role, candidate, document)
        rendered = sum(_renders(form, row, marks) for row in sample)
        if rendered > most:
            best, most = candidate, rendered
    if most < 1:
        raise FormatError(_why_none(rows, bare, marks))
    return best


def _template_of(row: Row, history: str) -> str | None:
    """The input with its known texts taken out; None when it does not show where they were."""
    thought, names = row.last("planner"), row.tool_names
    known = {"{doc}": row.documents, "{history}": history, "{thought}": thought, "{tool_names}": names}
    if row.documents not in row.input:
        known["{doc}"] = row.documents.replace("{tool_names}", names).replace("{history}", history)
        if row.role is Role.CALLER:
            known["{doc}"] = known["{doc}"].replace("{thought}", thought)
    parts = [row.input]
    for placeholder, text in known.items():
        if text:
            parts = [piece for part in parts for piece in _take_out(part, text, placeholder)]
    said = "".join(part for part in parts if part not in _PLACEHOLDERS)
    if "{history}" not in parts or any(placeholder in said for placeholder in _PLACEHOLDERS):
        return None
    return "".join(parts)


def _take_out(part: str, text: str, placeholder: str) -> list[str]:
    if part in _PLACEHOLDERS:
        return [part]
    pieces = part.split(text)
    return [piece for at, piece in enumerate(pieces) for piece in ((placeholder, piece) if at else (piece,))]


def _format(role: Role, template: str, document: Mapping[str, Json]) -> TemplateFormat:
    return TemplateFormat.from_document(
        {**document, "templates": {role.value: template}, "suffixes": {role.value: ""}, "variant": "evaluation"}
    )


def _suffix(role: Role, template: str, document: Mapping[str, Json]) -> str:
    """The end of a template that asks for the role's words: its label in a history, or what looks like one."""
    turns = cast("dict[str, str]", document["turns"])
    steps = cast("dict[str, str]", document.get("backbone_turns") or {})
    guessed = cast("list[str]", document["guessed"])
    wrapper = steps["step"] if role is Role.BACKBONE else turns[_KIND_OF[role]]
    label = wrapper.partition("{")[0]
    if label and template.endswith(label):
        before = template.removesuffix(label)
        return before[len(before.rstrip(" ")) :] + label
    shown = [text.partition("{")[0] for kind, text in turns.items() if f"turns.{kind}" not in guessed]
    lead = common_start(shown, 1.0).strip() if len(shown) > 1 else ""
    if lead and template.rfind(lead) > template.rfind("}"):
        return template[template.rfind(lead) :]
    looks = _LABEL.search(template)
    return looks[0] if looks else ""


# --- proof --------------------------------------------------------------------------------------------


def _prove(document: Mapping[str, Json], files: Mapping[Role, Sequence[Row]], marks: Marks) -> Learned:
    form = TemplateFormat.from_document(document)
    explained: dict[Role, Explained] = {}
    unexplained: list[tuple[Role, int, str]] = []
    for role, rows in files.items():
        strange: list[tuple[Role, int, str]] = []
        for row in rows:
            if not _renders(form, row, marks):
                rendered = form.render(role, row.task, row.history(marks))
                strange.append((role, row.index, _difference(row.input, rendered)))
        explained[role] = Explained(len(rows) - len(strange), len(rows))
        if 2 * len(strange) > len(rows):
            raise FormatError(
                f"{role.value}: the best template renders only {len(rows) - len(strange)} of {len(rows)} rows; "
                f"row {strange[0][1]} {strange[0][2]}; is the file of one format?"
            )
        unexplained += strange
    callers = files.get(Role.CALLER, ())
    if callers and not any(read_call(row.target).name for row in callers):
        raise FormatError(
            f"caller: no 'target' has the shape 'Action: NAME, line break, Action Input: JSON' that template formats "
            f"write; row 0 says {callers[0].target[:60]!r}"
        )
    return Learned(document=document, explained=explained, unexplained=tuple(unexplained))


def _renders(form: TemplateFormat, row: Row, marks: Marks) -> bool:
    """Return True if a format renders the row exactly, filled once or as the published scripts fill."""
    turns = row.history(marks)
    fillings = (Filling.ONCE, Filling.CHAINED)
    return any(form.using(filling=filling).render(row.role, row.task, turns) == row.input for filling in fillings)


def _difference(text: str, rendered: str) -> str:
    at = len(common_start((text, rendered), 1.0))
    return f"differs at character {at}: the file has {text[at : at + 40]!r}, the format {rendered[at : at + 40]!r}"


def _why_none(rows: Sequence[Row], bare: TemplateFormat, marks: Marks) -> str:
    role, row = rows[0].role, rows[0]
    if bare.render(role, row.task, row.history(marks)) not in row.input:
        return f"{role.value}: no row's 'input' holds its 'history' wrapped alike; row 0 starts {row.input[:60]!r}"
    if row.tools and row.documents not in row.input and row.tools[0].name in row.input:
        return (
            f"{role.value}: row 0 names tools but does not show them as one line of ASCII JSON each "
            "(json.dumps), which is how template formats write them"
        )
    return f"{role.value}: no template renders any row; row 0 starts {row.input[:60]!r}"

"""Template formats learned from example files: other wordings than the published, and the published ones."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from alpha_umi.errors import FormatError
from alpha_umi.formats.documents import write_document
from alpha_umi.formats.learning.learn import Explained, learn
from alpha_umi.formats.marks import write_call
from alpha_umi.formats.template import TemplateFormat
from alpha_umi.roles import FORMAT_ROLES
from alpha_umi.types import Answer, Call, Decision, Observation, Plan, Role, Task, ToolSpec, Turn, User
from support.examples import examples
from support.folders import GOLDEN

DEFAULT_END = "</s>"
WORDS = ("river", "stone", "lamp", "cloud", "garden", "paper", "window", "letter", "copper", "winter", "silver")


def document(labels: dict[str, str], closing: str, marks: dict[str, str], suffix: str = "") -> dict:
    """A format in words of our own. `labels` opens the turns, `closing` ends them (observations stay open)."""
    step = labels["planner"]
    return {
        "name": "own",
        "templates": {
            "planner": "You may use these:\n{doc}Up to now:\n{history}\nWhat is next? Think, then say who goes on.\n",
            "caller": "Up to now:\n{history}\nThe plan:\n{thought}\nUse one of: {tool_names}.\nDetails:\n{doc}\n",
            "summarizer": "Answer the user from this log.\n{history}\nBe brief.\n",
            "backbone": "You may use these:\n{doc}Up to now:\n{history}\nUse one of [{tool_names}], or finish.\n",
        },
        "suffixes": {"planner": f"{suffix}{step}", "caller": f"{suffix}{labels['caller']}"}
        | {"summarizer": f"{suffix}{labels['summarizer']}", "backbone": f"{suffix}{step}"},
        "turns": {
            kind: label + "{text}" + (closing if kind != "observation" else "\n") for kind, label in labels.items()
        },
        "decision_marks": marks,
        "target_end": closing if closing.strip() else DEFAULT_END,
        "backbone_turns": {
            "user": labels["user"] + "{text}" + closing,
            "step": step + "{target}" + closing,
            "observation": labels["observation"] + "{text}\n",
            "target": {
                "call": "{thought}\n{call}",
                "conclude": "{thought}\nFinal: {answer}",
                "give_up": "{thought}\nFinal: I give up.",
            },
        },
    }


UPPER = {
    "user": "USER: ",
    "planner": "PLANNER: ",
    "caller": "CALLER: ",
    "observation": "TOOL: ",
    "summarizer": "FINAL: ",
}
HEADED = {kind: f"<|head|>{kind}<|body|>\n" for kind in UPPER}
BRACKETS = {"call": "[call]", "conclude": "[conclude]", "give_up": "[give up]"}
SPOKEN = {"call": "Hand over to: tools!", "conclude": "Hand over to: writer!", "give_up": "Hand over to: nobody!"}
OWN = {
    "upper case and line breaks": document(UPPER, "\n", BRACKETS),
    "heads and end marks": document(HEADED, "<|over|>\n", SPOKEN),
    "labels with a space before": document({kind: f"{kind}> " for kind in UPPER}, "<eot>", SPOKEN, suffix=" "),
}


# --- trajectories and the files made of them --------------------------------------------------------------


def sentence(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(3, 12))).capitalize() + rng.choice(".?!")


def trajectory(rng: random.Random) -> tuple[Task, tuple[Turn, ...]]:
    names = rng.sample(["find_river", "list_lamps", "a", "get_market_for_copper"], rng.randint(1, 3))
    properties = {"q": {"type": "string", "description": sentence(rng)}}
    tools = tuple(
        ToolSpec(name=name, description=sentence(rng), parameters={"type": "object", "properties": properties})
        for name in names
    )
    turns: list[Turn] = [User(text=sentence(rng))]
    for _ in range(rng.randint(0, 3)):
        turns.append(Plan(thought=sentence(rng) + " ", decision=Decision.CALL))
        turns.append(Call(name=rng.choice(names), arguments=json.dumps({"q": sentence(rng)})))
        turns.append(Observation(content=rng.choice(["", "{}", "a", sentence(rng), turns[-1].arguments])))
        if rng.random() < 0.3:
            turns.append(User(text=sentence(rng)))
    ends = rng.random() < 0.7
    turns.append(Plan(thought=sentence(rng) + " ", decision=Decision.CONCLUDE if ends else Decision.GIVE_UP))
    turns += [Answer(text=sentence(rng))] if ends else []
    return Task(id="t", query="", tools=tools), tuple(turns)


SAID_BY = {User: "user", Plan: "assistant", Call: "caller", Observation: "observation", Answer: "conclusion"}


def value(form: TemplateFormat, turn: Turn) -> str:
    match turn:
        case Plan():
            return form.marks.write_plan(turn)
        case Call():
            return write_call(turn)
        case Observation(content=content):
            return content
        case User(text=text) | Answer(text=text):
            return text


def row(form: TemplateFormat, role: Role, task: Task, turns: tuple[Turn, ...], said: tuple[Turn, ...]) -> dict:
    return {
        "tools": [write_document(tool) for tool in task.tools],
        "history": [{"from": SAID_BY[type(turn)], "value": value(form, turn)} for turn in turns],
        "input": form.render(role, task, turns),
        "target": form.write(role, said),
    }


def files(form: TemplateFormat, rng: random.Random, count: int) -> dict[Role, list[dict]]:
    rows: dict[Role, list[dict]] = {role: [] for role in FORMAT_ROLES}
    role_models = {Plan: Role.PLANNER, Call: Role.CALLER, Answer: Role.SUMMARIZER}
    for _ in range(count):
        task, turns = trajectory(rng)
        for at, turn in enumerate(turns):
            if type(turn) in role_models:
                role = role_models[type(turn)]
                rows[role].append(row(form, role, task, turns[:at], (turn,)))
            if isinstance(turn, Plan):
                step = turns[at : at + 2]
                rows[Role.BACKBONE].append(row(form, Role.BACKBONE, task, turns[:at], step))
    return rows


def assert_same_prompts(learned: TemplateFormat, form: TemplateFormat, rng: random.Random) -> None:
    """On trajectories that the files did not hold."""
    for _ in range(10):
        task, turns = trajectory(rng)
        for at, turn in enumerate(turns):
            if isinstance(turn, Plan | Call | Answer):
                for role in FORMAT_ROLES:
                    assert learned.render(role, task, turns[:at]) == form.render(role, task, turns[:at])
            if isinstance(turn, Plan) and turn.decision is not Decision.NONE:
                step = turns[at : at + 2]
                assert learned.write(Role.PLANNER, (turn,)) == form.write(Role.PLANNER, (turn,))
                assert learned.write(Role.BACKBONE, step) == form.write(Role.BACKBONE, step)


# --- laws -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wording", OWN)
def test_another_wording_is_learned_whole(wording):
    form, rng = TemplateFormat.from_document(OWN[wording]), random.Random(7)
    examples = files(form, rng, 30)
    learned = learn(examples)
    assert learned.explained == {role: Explained(len(rows), len(rows)) for role, rows in examples.items()}
    assert learned.unexplained == ()
    for key in ("templates", "suffixes", "turns", "decision_marks", "target_end", "backbone_turns"):
        assert learned.document[key] == OWN[wording][key], key
    assert_same_prompts(TemplateFormat.from_document(learned.document), form, rng)


label_texts = st.text("abcXYZ#<>|[]/- ", min_size=2, max_size=10).filter(lambda text: text.strip("# <>|[]/-"))


@st.composite
def wordings(draw: st.DrawFn) -> dict:
    """Any labels before turns, one closing after all of them, any marks."""
    words = draw(st.lists(label_texts.map(str.strip), min_size=5, max_size=5, unique=True))
    colon = draw(st.sampled_from([": ", ":", ">\n", "] "]))
    labels = dict(zip(UPPER, (word + colon for word in words), strict=True))
    lead = draw(st.sampled_from(["Next: ", "=> ", "[[", "go "]))
    marks = dict(zip(BRACKETS, draw(st.permutations([f"{lead}one", f"{lead}two", f"{lead}three"])), strict=True))
    return document(labels, draw(st.sampled_from(["\n", "</end>", "<|x|>\n", "\n\n"])), marks)


@pytest.mark.slow
@given(wordings(), st.integers(0, 2**16))
@settings(max_examples=examples(25), deadline=None)
def test_any_labels_are_learned_so_that_unseen_prompts_are_the_same(wording, seed):
    form, rng = TemplateFormat.from_document(wording), random.Random(seed)
    examples = files(form, rng, 30)
    assume(all(examples.values()))
    learned = learn(examples)
    assert learned.unexplained == ()
    assert_same_prompts(TemplateFormat.from_document(learned.document), form, rng)


def test_a_training_prefix_before_every_input_is_found_and_can_be_left_out():
    form = TemplateFormat.from_document(OWN["upper case and line breaks"])
    examples = files(form, random.Random(3), 20)
    for rows in examples.values():
        for example in rows:
            example["input"] = "system: " + example["input"]
    learned = learn(examples)
    assert learned.document["training_prefix"] == "system: "
    assert learned.document["templates"] == OWN["upper case and line breaks"]["templates"]
    assert learned.document["variant"] == "training"


def test_rows_of_another_making_are_reported_and_do_not_disturb_the_rest():
    form = TemplateFormat.from_document(OWN["heads and end marks"])
    examples = files(form, random.Random(5), 30)
    for index in (1, 4):
        planner = examples[Role.PLANNER][index]
        planner["input"] = planner["input"].replace("Up to now", "So far")
    learned = learn(examples)
    assert [(role, index) for role, index, _ in learned.unexplained] == [(Role.PLANNER, 1), (Role.PLANNER, 4)]
    assert "the file has 'So far" in learned.unexplained[0][2]
    assert learned.explained[Role.PLANNER] == (len(examples[Role.PLANNER]) - 2, len(examples[Role.PLANNER]))


@pytest.mark.parametrize("role", FORMAT_ROLES)
def test_one_file_alone_gives_its_own_prompts(role):
    form = TemplateFormat.from_document(OWN["heads and end marks"])
    rows = files(form, random.Random(11), 30)[role]
    learned = learn({role: rows})
    assert learned.explained == {role: (len(rows), len(rows))}
    assert learned.document["templates"] == {role.value: OWN["heads and end marks"]["templates"][role.value]}
    assert learned.document["guessed"]


# --- bad files --------------------------------------------------------------------------------------------


def broken(change) -> dict[Role, list]:
    rows = files(TemplateFormat.from_document(OWN["heads and end marks"]), random.Random(1), 8)[Role.PLANNER]
    change(rows)
    return {Role.PLANNER: rows}


def shuffle_inputs(rows: list[dict]) -> None:
    for at, example in enumerate(rows):
        example["input"] = f"nothing of it {at}"


def dump_unescaped(rows: list[dict]) -> None:
    for example in rows:
        text = "".join(json.dumps(tool) + "\n" for tool in example["tools"])
        example["input"] = example["input"].replace(text, json.dumps(example["tools"], indent=1) + "\n")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows.clear(), "planner: the file has no rows"),
        (lambda rows: rows[2].pop("input"), "planner: row 2 has no text under 'input'"),
        (lambda rows: rows[1].update(history="x"), "planner: row 1 has no list under 'history'"),
        (lambda rows: rows[0].update(tools=[{"name": "x"}]), "planner: row 0: 'tools' holds no tool documents"),
        (lambda rows: rows[0]["history"][0].update({"from": "bot"}), "row 0: 'history' has a turn from 'bot'"),
        (lambda rows: rows.__setitem__(3, "text"), "planner: row 3 is no object"),
        (shuffle_inputs, "were not found"),
        (dump_unescaped, "planner: "),
    ],
)
def test_a_file_of_another_shape_is_refused_with_the_place(change, said):
    with pytest.raises(FormatError, match=said):
        learn(broken(change))


def test_calls_of_another_shape_are_refused():
    rows = files(TemplateFormat.from_document(OWN["heads and end marks"]), random.Random(1), 8)[Role.CALLER]
    for example in rows:
        example["target"] = "call it"
    with pytest.raises(FormatError, match="caller: no 'target' has the shape"):
        learn({Role.CALLER: rows})


# --- the published files ----------------------------------------------------------------------------------


def published() -> list[Path]:
    return sorted({path.parent for path in GOLDEN.glob("prepro/**/train_planner.json")})


def key(example: dict) -> str:
    return json.dumps([example["tools"], example["history"]])


@pytest.mark.skipif(not published(), reason="no golden files: set ALPHA_UMI_GOLDEN to the folder that holds them")
@pytest.mark.parametrize("folder", published(), ids=lambda folder: str(folder.relative_to(GOLDEN)))
def test_published_files_are_learned_and_only_stale_give_ups_stay_unexplained(folder):
    examples = {
        role: json.loads(path.read_text())
        for role in FORMAT_ROLES
        if (path := folder / f"train_{role.value}.json").exists()
    }
    learned = learn(examples)
    form = TemplateFormat.from_document(learned.document)
    give_up = {
        key(example)
        for example in examples[Role.PLANNER]
        if example["target"].endswith(form.marks.decisions[Decision.GIVE_UP])
    }
    for role, index, _ in learned.unexplained:
        assert role is Role.BACKBONE
        assert key(examples[role][index]) in give_up
    for role, rows in examples.items():
        assert learned.explained[role].n_rows == len(rows)
        assert learned.explained[role].n_ok == len(rows) - sum(found is role for found, _, _ in learned.unexplained)

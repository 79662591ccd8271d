"""Names that data holds become files inside the folder that was asked for, one each, or are refused in words."""

import json
import random
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_umi.errors import AlphaUMiError, DataError
from alpha_umi.file_names import MOST_BYTES, file_name, is_file_name
from alpha_umi.jobs.judge import convert_answers
from alpha_umi.judging.files import read_pass_run, read_settings, read_verdicts
from alpha_umi.rollouts.runner import Rollout, RolloutFolder, decode_rollout, encode_rollout, read_rollouts
from alpha_umi.search import Chain, Node
from alpha_umi.search.record import Recorder
from alpha_umi.serving.virtual_tools.cache import ReplyCache, Row
from alpha_umi.serving.virtual_tools.folders import export_folder
from alpha_umi.serving.virtual_tools.wire import ApiAddress, Asked, Reply
from alpha_umi.store import append_rows
from alpha_umi.types import Answer, Decision, Plan, Task, Trajectory, User
from alpha_umi.world import Split, World
from support.examples import examples

PARTS = (
    "..", "/", "\\", "\0", "~", "con", "CON", "aux", "nul", "com1", "lpt9", ".", " ", "\n", "a", "A", "é", "e\u0301",
    "ß", "ss", "ı", "I", "ﬁ", "fi", "Ａ", "\ud800", "\u202e", "G1_instruction", "g1_instruction", "C:", "-", "_", "%2f",
    "x" * 80, "天", "👍", "\u200b", "*", "?", "|", "\x7f", ".json", "K", "ſ",
)  # fmt: skip
HOSTILE = ("../../escape", "/escape/x", "..", ".", "", "a/../../b", "x" * 5000, "nul\0name", "CON", "\ud800", "a\\b")
names = st.lists(st.sampled_from(PARTS) | st.text(max_size=3), max_size=5).map("".join)


def compared(name):
    """A name as a file system compares it that knows neither case nor composition."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


def portable(name):
    return (
        0 < len(name.encode()) <= MOST_BYTES
        and not set(name) & set('<>:"/\\|?*')
        and name == name.strip(" .") == name.lstrip("~")
        and name.split(".")[0].lower() not in ("con", "prn", "aux", "nul", "com1", "lpt9")
    )


def test_ten_thousand_hostile_names_have_as_many_portable_file_names():
    rng = random.Random(7)
    told = set()
    while len(told) < 10_000:
        told.add("".join(rng.choice(PARTS) for _ in range(rng.randint(0, 5))))
    made = {name: file_name(name) for name in told}
    assert len({compared(file) for file in made.values()}) == len(told)
    assert [name for name, file in made.items() if not portable(file) or not is_file_name(file)] == []


@given(names, names)
@settings(max_examples=examples(300))
def test_different_names_are_different_files_on_every_system(one, other):
    for without in ("", "_"):
        files = file_name(one, without), file_name(other, without)
        assert (compared(files[0]) == compared(files[1])) == (one == other)
        assert not set(without) & set(files[0])


@pytest.mark.parametrize("name", ["1234", "G1_instruction", "G3_category", "train", "tiny-0-train-3", "天气", "a b.c"])
def test_a_name_that_is_a_file_name_stays(name):
    assert file_name(name) == name


# --- files of others --------------------------------------------------------------------------------------


def rollout_row(**changes):
    task = Task(id="1", query="q")
    turns = (User(text="q"), Plan(thought="", decision=Decision.CONCLUDE), Answer(text="a"))
    trajectory = Trajectory(task=task, turns=turns)
    nodes = (Node(index=0, parent=None, turns=turns),)
    row = encode_rollout(Rollout(set="s", trajectory=trajectory, nodes=nodes, method="CoT@1"))
    return {**row, **changes}


def inside(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", HOSTILE)
def test_the_set_of_a_foreign_run_names_no_file_outside(tmp_path, name):
    run, out = tmp_path / "deep" / "run", tmp_path / "deep" / "out" / "more"
    append_rows(run / "rollouts.jsonl", [rollout_row(set=name), rollout_row(set=name + "2")])
    before = inside(tmp_path)
    converted = convert_answers(run, out)
    made = set(inside(tmp_path)) - set(before)
    assert {path.resolve().parent for path in converted.files} == {out.resolve()}
    assert len(made) == 2


@pytest.mark.parametrize("name", HOSTILE)
def test_ids_and_sets_of_a_rollout_name_one_file_within_the_run(tmp_path, name):
    folder = RolloutFolder(tmp_path / "deep" / "run", Recorder(strategy=Chain()))
    row = decode_rollout(rollout_row(set=name))
    task = Task(id=name, query="q")
    rollout = Rollout(
        set=name, trajectory=Trajectory(task=task, turns=row.trajectory.turns), nodes=row.nodes, method="../m"
    )
    folder.add([rollout])
    (answer,) = (tmp_path / "deep" / "run" / "answers").rglob("*.json")
    assert answer.parent.parent == tmp_path / "deep" / "run" / "answers"
    assert len(inside(tmp_path)) == 2


@pytest.mark.parametrize("name", HOSTILE)
def test_what_clients_ask_a_virtual_tool_names_no_file_outside(tmp_path, name):
    cache = ReplyCache(tmp_path / "cache.sqlite")
    for address in (("c", "t", name), ("c", name, "a"), (name, "t", "a"), ("c", "t", "Get"), ("c", "t", "get")):
        asked = Asked(address=ApiAddress(**dict(zip(("category", "tool", "api"), address, strict=True))), arguments={})
        try:
            cache.add(Row(asked=asked, reply=Reply(response="r"), source="recorded"))
        except (AlphaUMiError, UnicodeEncodeError):
            continue
    moved = export_folder(cache, tmp_path / "deep" / "out")
    cache.close()
    made = [path for path in inside(tmp_path) if path.endswith(".json")]
    assert all(path.startswith("deep/out/") and path.count("/") == 4 for path in made)
    assert len(made) == moved.files
    assert len({compared(path) for path in made}) == len(made)


WRONG = {
    "text": (None, 1, True, 1.5, [], {}, ["a"], {"a": 1}),
    "number": (None, "1", True, -1, float("nan"), float("inf"), 10**30, [], {}),
    "other": (1, "a", [], {"passed": "yes"}, {"passed": 1}, {"passed": True, "reasons": [1]}, {"reasons": []}),
}
FIELDS = {("set",): "text", ("method",): "text", ("error",): "text", ("seconds",): "number", ("verdict",): "other"}
DEEP = {
    ("task", "id"): WRONG["text"],
    ("task", "query"): WRONG["text"],
    ("task", "tools"): ("a", 1, [1], {"a": 1}),
    ("turns",): ("a", 1, [1], [{}], [{"turn": []}], [{"turn": "user", "text": 1}]),
    ("usage", "completions"): WRONG["number"],
    ("stop",): (1, [], "x"),
    ("nodes",): (None, 1, [1], [{}]),
    ("nodes", 0, "index"): (-1, 1, "0", True, None),
    ("nodes", 0, "parent"): (0, -1, "0", 7),
    ("nodes", 0, "visit"): (-1, "0", 1.5),
    ("nodes", 0, "hint"): WRONG["text"],
    ("nodes", 0, "status"): (1, None, "x", []),
    ("nodes", 0, "usage"): (None, 1, [], {"completions": -1}),
    ("nodes", 0, "turns"): (None, [1], [{"turn": "user", "text": 1}]),
}


def wrong_rows():
    wanted = {**{path: WRONG[kind] for path, kind in FIELDS.items()}, **DEEP}
    for path, values in wanted.items():
        for value in values:
            if (path, value) == (("seconds",), None):
                continue
            row = json.loads(json.dumps(rollout_row()))
            *first, last = path
            place = row
            for key in first:
                place = place[key]
            place[last] = value
            yield pytest.param(row, id=f"{'.'.join(map(str, path))}={value!r}"[:60])


@pytest.mark.parametrize("row", list(wrong_rows()))
def test_a_row_with_a_field_of_another_type_is_named_when_it_is_read(tmp_path, row):
    path = tmp_path / "rollouts.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match=r"rollouts.jsonl:1"):
        list(read_rollouts(path))
    with pytest.raises(DataError):
        convert_answers(tmp_path, tmp_path / "out")


def test_the_rows_of_a_run_are_read_as_they_were_written():
    world = World()
    trajectory = world.gold(world.task(Split.TEST, 0))
    nodes = (Node(index=0, parent=None), Node(index=1, parent=0, turns=trajectory.turns, visit=3))
    verdict = {"passed": True, "reasons": ["so"]}
    rollout = Rollout(set="s", trajectory=trajectory, nodes=nodes, method="m", verdict=verdict, seconds=1.5)
    assert decode_rollout(json.loads(json.dumps(encode_rollout(rollout)))) == rollout


SETTINGS = {"schema": "alpha_umi.judging/1", "kind": "pass", "name": "n", "judge": "j", "sets": {"s": ["1"]}}


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../../n"},
        {"name": 1},
        {"name": None},
        {"name": ""},
        {"sets": {"../s": []}},
        {"sets": {"/s": []}},
        {"sets": ["s"]},
        {"sets": {"s": [1]}},
        {"sets": {"s": "1"}},
        {"judge": 1},
        {"kind": "win", "reference": "..", "candidate": "c"},
        {"kind": []},
        {"kind": "else"},
        {"kind": "win"},
    ],
)
def test_settings_of_a_foreign_judging_run_name_no_file_outside(tmp_path, change):
    (tmp_path / "settings.json").write_text(json.dumps({**SETTINGS, **change}))
    with pytest.raises(DataError, match=r"settings.json"):
        read_settings(tmp_path)
    with pytest.raises(DataError):
        read_pass_run(tmp_path)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        1,
        "a",
        {"1": 1},
        {"1": {"votes": 1}},
        {"1": {"votes": [1]}},
        {"1": {"votes": [{"answer": "x", "task": "y"}]}},
        {"1": {"votes": [{"answer": "Solved", "task": "Solvable", "reason": 1}]}},
        {"1": {"votes": [{"answer": "Solved", "task": "Solvable", "nonsense": -1}]}},
    ],
)
def test_verdicts_of_another_type_are_named_when_they_are_read(tmp_path, rows):
    (tmp_path / "verdicts").mkdir()
    (tmp_path / "verdicts" / "s.json").write_text(json.dumps(rows))
    with pytest.raises(DataError, match=r"s.json"):
        read_verdicts(tmp_path, "s")

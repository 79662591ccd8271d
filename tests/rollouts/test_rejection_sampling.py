"""Rollouts become training data: what is verified is learned, and what led nowhere is held against what led there."""

import json
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_umi.config import TrainConfig, load_config
from alpha_umi.formats.load import BUILTIN
from alpha_umi.jobs.train import RECIPES, train, trained
from alpha_umi.loading.formats import open_format
from alpha_umi.preparation.pairs import find_choices, make_pairs
from alpha_umi.rollouts.runner import Rollout, encode_rollout, read_rollouts
from alpha_umi.search import Node, NodeStatus, Tree
from alpha_umi.store import append_rows, read_rows, read_trajectories, write_json
from alpha_umi.training.data.examples import learnable_steps, make_examples
from alpha_umi.types import (
    Answer,
    Call,
    Decision,
    Observation,
    Plan,
    Role,
    StopReason,
    Task,
    ToolSpec,
    Trajectory,
    User,
)
from alpha_umi.world.oracle_agent import world_of
from support.commands import run_here
from support.examples import examples
from support.folders import SUPPORT

TASK = Task(id="1", query="q", tools=(ToolSpec(name="find"),))
LOOK, DONE = Plan(thought="Look.", decision=Decision.CALL), Plan(thought="Done.", decision=Decision.CONCLUDE)
LOST = Plan(thought="Lost.", decision=Decision.GIVE_UP)
RIGHT, WRONG = Answer(text="right"), Answer(text="wrong")
SEEN = Observation(content="something")
TEXTS = [name for name in BUILTIN if not name.startswith("native")]


def find(arguments="{}", name="find"):
    return Call(name=name, arguments=arguments)


def tree(*nodes):
    """A tree of (parent, status, turns) under the query."""
    grown = Tree(task=TASK)
    grown.add(Node(index=0, parent=None, turns=(User(text="q"),), status=NodeStatus.DONE))
    for index, (parent, status, turns) in enumerate(nodes, 1):
        grown.add(Node(index=index, parent=parent, status=NodeStatus(status), turns=turns))
    return grown


def verify(node):
    return {RIGHT: True, WRONG: False, LOST: False}.get(node.turns[-1])


def choices(*nodes):
    return [(len(each.turns), each.chosen, each.rejected) for each in find_choices(tree(*nodes), verify)]


# --- which step is better ---------------------------------------------------------------------------------


def test_a_step_on_the_way_to_the_answer_is_chosen_over_its_siblings_that_led_to_none():
    found = choices(
        (0, "done", (LOOK, find("1"), SEEN)),
        (1, "gave_up", (LOST,)),
        (0, "done", (LOOK, find("2"), SEEN)),
        (3, "answered", (DONE, WRONG)),
        (3, "answered", (DONE, RIGHT)),
    )
    assert found == [
        (1, (LOOK, find("2")), (LOOK, find("1"))),
        (4, (DONE, RIGHT), (DONE, WRONG)),
    ]


@pytest.mark.parametrize(
    "sibling",
    [
        (0, "done", (LOOK, find(), SEEN)),
        (0, "failed", (LOOK,)),
        (0, "open", (LOOK, find())),
        (0, "answered", (DONE, Answer(text="nobody verified this"))),
        (0, "answered", (DONE, RIGHT)),
        (0, "gave_up", (User(text="a hint and nothing else"),)),
    ],
    ids=["ranked behind", "model failed", "cut off", "unknown", "right as well", "says nothing"],
)
def test_a_sibling_that_proves_nothing_is_not_held_against_a_step(sibling):
    assert choices((0, "answered", (DONE, RIGHT)), sibling) == []


def test_a_branch_with_an_open_end_below_proves_nothing_either():
    below = [(1, "gave_up", (LOST,)), (1, "failed", ())]
    assert choices((0, "done", (LOOK, find(), SEEN)), *below, (0, "answered", (DONE, RIGHT))) == []
    assert len(choices((0, "done", (LOOK, find(), SEEN)), below[0], (0, "answered", (DONE, RIGHT)))) == 1


def test_what_may_not_be_learned_is_never_chosen_but_may_be_rejected():
    unknown = (LOOK, find(name="no_such_tool"), SEEN)
    assert choices((0, "done", unknown), (1, "answered", (DONE, RIGHT)), (0, "gave_up", (LOST,))) == []
    assert choices((0, "limit", unknown), (0, "answered", (DONE, RIGHT))) == [(1, (DONE, RIGHT), unknown[:2])]


def test_a_give_up_that_nobody_judged_was_one_too_many_where_there_is_a_right_answer():
    nobody_knows = tree((0, "gave_up", (LOST,)), (0, "answered", (DONE, RIGHT)))
    found = list(find_choices(nobody_knows, lambda node: True if node.turns[-1] == RIGHT else None))
    assert [(each.chosen, each.rejected) for each in found] == [((DONE, RIGHT), (LOST,))]


def test_a_tree_without_a_verified_answer_gives_none():
    assert choices((0, "answered", (DONE, WRONG)), (0, "gave_up", (LOST,))) == []


statuses = st.sampled_from(
    [
        ("answered", (DONE, RIGHT)),
        ("answered", (DONE, WRONG)),
        ("gave_up", (LOST,)),
        ("limit", (LOOK,)),
        ("failed", ()),
        ("answered", (DONE, Answer(text="?"))),
    ]
)
shapes = st.lists(st.tuples(st.integers(0, 8), st.booleans(), statuses), max_size=12)


@settings(max_examples=examples(100))
@given(shapes)
def test_what_is_chosen_leads_to_a_right_answer_and_what_is_rejected_to_none(shape):
    nodes = []
    for at, (parent, inner, (status, turns)) in enumerate(shape):
        above = next((index for index in range(min(parent, at), 0, -1) if nodes[index - 1][1] == "done"), 0)
        nodes.append((above, "done", (LOOK, find(str(at)), SEEN)) if inner else (above, status, turns))
    grown = tree(*nodes)

    def answers(node):
        below = [answer for child in grown.children(node) for answer in answers(child)]
        return [*below, *(turn for turn in node.turns if isinstance(turn, Answer))]

    for choice in find_choices(grown, verify):
        parents = [node for node in grown.nodes if grown.branch(node) == choice.turns and grown.children(node)]
        ways = [(child.turns, answers(child)) for parent in parents for child in grown.children(parent)]
        assert any(turns[:2] == choice.chosen and RIGHT in found for turns, found in ways)
        assert any(turns[:2] == choice.rejected and RIGHT not in found for turns, found in ways)


# --- pairs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEXTS)
def test_the_prompts_of_pairs_are_those_of_training_and_what_is_chosen_is_what_is_learned(name):
    form, grown = (
        open_format(name),
        tree(
            (0, "done", (LOOK, find("{}"), SEEN)),
            (1, "gave_up", (LOST,)),
            (1, "answered", (DONE, RIGHT)),
        ),
    )
    best = Trajectory(task=TASK, turns=grown.branch(grown.nodes[3]))
    pairs = [pair for each in find_choices(grown, verify) for pair in make_pairs(TASK, each, form, list(Role))]
    assert {pair.role for pair in pairs} == ({Role.BACKBONE} if name == "react" else {Role.PLANNER, Role.BACKBONE})
    for pair in pairs:
        learned = [(row.prompt, row.completion) for row in make_examples(best, pair.role, form).rows]
        assert (pair.prompt, pair.chosen) in learned
        assert form.parse(pair.role, pair.rejected) == (LOST,)


def test_caller_and_summarizer_are_paired_where_the_plans_are_the_same():
    form = open_format("shared")

    def roles(*nodes):
        return [
            (pair.role, pair.chosen, pair.rejected)
            for each in find_choices(tree(*nodes), verify)
            for pair in make_pairs(TASK, each, form, [Role.PLANNER, Role.CALLER, Role.SUMMARIZER])
        ]

    assert roles((0, "answered", (DONE, WRONG)), (0, "answered", (DONE, RIGHT))) == [
        (Role.SUMMARIZER, "right", "wrong")
    ]
    calls = (0, "limit", (LOOK, find("1"), SEEN)), (0, "done", (LOOK, find("2"), SEEN))
    assert roles(*calls, (2, "answered", (DONE, RIGHT))) == [(Role.CALLER, "find\n2", "find\n1")]


# --- from runs to files -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A run of the noisy oracle over the sealed world."""
    folder = tmp_path_factory.mktemp("rejection_sampling")
    shutil.copy(SUPPORT / "noisy_agents.py", folder)
    assert run_here("world", "write", "--out", "w", "--count", "80", cwd=folder).code == 0
    searched = ("--agent", "noisy_agents:Noisy", "--queries", "w/train.jsonl", "--env", "world", "--strategy", "dfsdt")
    ended = run_here("rollout", *searched, "--out", "run", cwd=folder)
    assert ended.code == 0, ended.err
    return folder


def prepare(desk, *arguments):
    return run_here("prepare", "rollouts", *arguments, cwd=desk)


def rows(path):
    return [row for _, row in read_rows(path)]


def test_only_what_the_world_verifies_is_learned_from_and_each_of_it_once(desk):
    ended = prepare(desk, "run", "run/rollouts.jsonl", "--out", "t.jsonl")
    assert ended.code == 0, ended.err
    kept = list(read_trajectories(desk / "t.jsonl"))
    passed = [rollout for rollout in read_rollouts(desk / "run") if rollout.verdict["passed"]]
    assert [each.task.id for each in kept] == [rollout.trajectory.task.id for rollout in passed]
    assert 10 < len(kept) < 80
    assert all(world_of(each.task).verify(each.task, each).passed for each in kept)
    assert f"left out {len(kept)}: the same as another" in ended.out
    everything = prepare(desk, "run", "--out", "all.jsonl", "--all")
    assert everything.out == "all.jsonl: 80 trajectories of 80 rollouts\n"


def test_pairs_are_rows_that_trl_reads_for_every_format(desk):
    for form in TEXTS:
        ended = prepare(desk, "run", "--out", "t.jsonl", "--pairs", f"{form}.jsonl", "--format", form)
        assert ended.code == 0, ended.err
        found = rows(desk / f"{form}.jsonl")
        assert len(found) > 5
        for row in found:
            assert set(row) == {"prompt", "chosen", "rejected", "role", "task"}
            assert row["chosen"] != row["rejected"]
            shape = [(list, str)[isinstance(row[key], str)] for key in ("prompt", "chosen", "rejected")]
            assert shape == [list if form in ("chat", "zero-shot") else str] * 3
        assert len({json.dumps({**row, "task": ""}) for row in found}) == len(found)
    one = prepare(desk, "run", "--out", "t.jsonl", "--pairs", "p.jsonl", "--role", "planner")
    assert {row["role"] for row in rows(desk / "p.jsonl")} == {"planner"}
    assert "of the planner" in one.out


@pytest.mark.slow
def test_what_is_prepared_is_what_training_takes(desk):
    assert prepare(desk, "run", "--out", "t.jsonl").code == 0
    small = ["data.train=t.jsonl", "out=trained", "max_length=600", "model.tiny.hidden_size=32", "model.tiny.layers=1"]
    steps = [f"stages.{role}.max_steps=1" for role in ("backbone", "planner", "caller", "summarizer")]
    config = load_config(TrainConfig, RECIPES / "tiny.toml", [*small, *steps], folder=desk)
    run = train(config, resume=False)
    assert all(int(row["examples"]) > 0 for row in trained(run, config.max_length))


def test_a_judges_verdicts_count_where_a_rollout_has_none(tmp_path):
    def row(number, answer):
        turns = (User(text="q"), DONE, Answer(text=answer))
        done = Trajectory(task=Task(id=str(number), query="q"), turns=turns, stop=StopReason.ANSWERED)
        return encode_rollout(Rollout(set="G1", trajectory=done, nodes=(), method="CoT@1"))

    append_rows(tmp_path / "run" / "rollouts.jsonl", [row(1, "right"), row(2, "wrong"), row(3, "nobody looked")])
    votes = {"1": [{"answer": "Solved", "task": "Solvable"}], "2": [{"answer": "Unsolved", "task": "Solvable"}]}
    write_json(tmp_path / "judged" / "verdicts" / "G1.json", {key: {"votes": each} for key, each in votes.items()})
    refused = prepare(tmp_path, "run", "--out", "t.jsonl")
    assert refused.code == 3
    assert "no trajectory among 3 rollouts: 3 not verified; name a run of 'umi judge pass'" in refused.err
    assert not (tmp_path / "t.jsonl").exists()
    ended = prepare(tmp_path, "run", "--out", "t.jsonl", "--judged", "judged")
    assert ended.out == (
        "t.jsonl: 1 trajectories of 3 rollouts\n  left out 1: not solved\n  left out 1: not verified\n"
    )


def test_hints_of_a_published_search_are_no_part_of_what_is_learned(tmp_path):
    hinted = tree((0, "gave_up", (LOST,)), (0, "answered", (User(text="Another way!"), DONE, RIGHT)))
    row = Rollout(set="s", trajectory=hinted.best, nodes=tuple(hinted.nodes), method="m", verdict={"passed": True})
    append_rows(tmp_path / "run" / "rollouts.jsonl", [encode_rollout(row)])
    assert prepare(tmp_path, "run", "--out", "t.jsonl", "--pairs", "p.jsonl").code == 0
    assert next(read_trajectories(tmp_path / "t.jsonl")).turns == (User(text="q"), DONE, RIGHT)
    assert "Another way!" not in (tmp_path / "p.jsonl").read_text()
    assert len(rows(tmp_path / "p.jsonl")) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("none", "--out", "t.jsonl"), "none: no such file"),
        (("run", "--out", "t.jsonl", "--role", "judge", "--pairs", "p"), "unknown role 'judge'"),
        (("run", "--out", "t.jsonl", "--pairs", "p", "--format", "native"), "format 'native' has no text to prefer"),
        (("run", "--out", "t.jsonl", "--judged", "none"), "verdicts/train.json: no such file"),
    ],
)
def test_mistakes_are_named_and_nothing_is_written(desk, tmp_path, arguments, said):
    shutil.copytree(desk / "run", tmp_path / "run")
    ended = prepare(tmp_path, *arguments)
    assert ended.code in (2, 3)
    assert said in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_every_step_of_a_searched_task_that_is_kept_can_be_learned(desk):
    assert prepare(desk, "run", "--out", "t.jsonl").code == 0
    for trajectory in read_trajectories(desk / "t.jsonl"):
        plans = sum(isinstance(turn, Plan) for turn in trajectory.turns)
        assert len(list(learnable_steps(trajectory))) == plans


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["shared", "chat"])
def test_trl_learns_from_the_pairs(desk, tmp_path, form):
    trl, datasets = pytest.importorskip("trl"), pytest.importorskip("datasets")
    from support.tiny_models import tiny_llama, tiny_tokenizer

    assert prepare(desk, "run", "--out", "t.jsonl", "--pairs", "trl.jsonl", "--format", form).code == 0
    tokenizer = tiny_tokenizer(open_format(form).special_tokens, end=open_format(form).end)
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    loaded = datasets.load_dataset("json", data_files=str(desk / "trl.jsonl"), split="train", cache_dir=str(tmp_path))
    model, reference = (tiny_llama(len(tokenizer), context=4096) for _ in range(2))
    settings = trl.DPOConfig(
        output_dir=str(tmp_path),
        max_steps=1,
        per_device_train_batch_size=2,
        report_to=[],
        use_cpu=True,
        bf16=False,
        max_length=None,
    )
    trainer = trl.DPOTrainer(
        model=model, ref_model=reference, args=settings, train_dataset=loaded, processing_class=tokenizer
    )
    assert trainer.train().training_loss > 0

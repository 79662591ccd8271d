"""The demo: six tasks by rule, each verified; what is measured; one page of it all."""

import json
import re

import pytest

from alpha_umi.demo.choices import FIRST, choose, measured_splits
from alpha_umi.demo.own_tools import REQUESTS, TOOLS
from alpha_umi.demo.session import rescue_words
from alpha_umi.evaluation.call_faults import CallFaults, find_faults
from alpha_umi.loading.agents import read_agent
from alpha_umi.loading.bundled import DEFAULT, FOLDER
from alpha_umi.store import claim_folder
from alpha_umi.types import Answer, Call, StopReason, Task, Trajectory, User
from alpha_umi.world import PRESETS, World
from support.commands import interrupt_when, left_in, run_here, start
from support.endpoint_server import Reply, chat_reply, serving
from support.folders import SUPPORT
from support.pages import Page, check_safe

ROLES = ("planner", "caller", "summarizer")


def demo(folder, agent, *more):
    ended = run_here("demo", "--agent", agent, "--world", "small", "--tasks", "3", "--out", "demo", *more, cwd=folder)
    assert ended.code == 0, ended.err
    return ended.out, Page((folder / "demo" / "report.html").read_text())


def badges(page):
    wanted = {"badge right", "badge wrong"}
    return [value.split()[1] for element, name, value in page.attributes if name == "class" and value in wanted]


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "functions"])
def test_the_tasks_that_are_shown_are_the_first_of_their_kind(preset):
    world = World(preset)
    several, fallback, unsolvable, unseen = (choice.task for choice in choose(world, preset))
    assert several.metadata["calls"] > 1
    assert fallback.metadata["trouble"] == "rival"
    assert unsolvable.metadata["trouble"] in ("no_tool", "down")
    assert unseen.metadata["split"] == measured_splits(preset)[1]
    assert choose(world, preset) == choose(World(preset), preset)
    before = (world.task(fallback.metadata["split"], index) for index in range(FIRST, fallback.metadata["index"]))
    assert not [task for task in before if task.metadata["trouble"] == "rival"]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda one: one.tool)
def test_a_request_to_own_tools_is_right_with_the_needed_call_and_its_result(request_):
    (tool,) = (each for each in TOOLS if each.__name__ == request_.tool)
    result = json.dumps(tool(**request_.arguments))
    call = Call(name=request_.tool, arguments=json.dumps(request_.arguments))
    other = Call(name=request_.tool, arguments="{}")

    def done(*calls, answer=result):
        turns = (User(text=request_.query), *calls, Answer(text=answer))
        task = Task(id="own", query=request_.query)
        return request_.is_done(Trajectory(task=task, turns=turns, stop=StopReason.ANSWERED))

    assert done(call)
    assert not done(call, answer="It is done.")
    assert not done(other)
    assert not done(call, call)


def test_a_world_that_the_demo_does_not_show_is_refused_with_those_it_does(tmp_path):
    ended = run_here("demo", "--world", "functions", "--tasks", "1", cwd=tmp_path)
    assert (ended.code, ended.err) == (2, "error: the demo shows the worlds tiny, small and full, not 'functions'\n")


def test_an_agent_that_errs_nowhere_leaves_nothing_to_a_tree_search(tmp_path):
    out, page = demo(tmp_path, "oracle")
    check_safe(page)
    assert badges(page) == ["right"] * 4
    assert "The chain fails at none of 6 tasks" in " ".join(out.split())
    assert "The chain fails at none of 6 tasks" in page.text
    assert out.count("verifier  right") == 4
    assert "4 of 4shown tasks right" in page.text
    assert not {"figure", "circle"} & {*page.elements[: page.elements.index("table")]}  # no tree, so no legend of one


def test_tasks_at_which_the_chain_fails_are_done_by_a_tree_search_and_drawn(tmp_path, monkeypatch):
    out, page = demo(tmp_path, "rollout_agents:shy")
    check_safe(page)
    for text in (" ".join(out.split()), page.text):
        assert re.search(r"The chain fails at (\d) of 6 tasks\. Tree search \(DFSDT\) passes \1 of these \1\.", text)
    tile = re.search(r"(\d) of (\d)\s*shown tasks right", page.text)
    assert tile.groups() == (str(badges(page).count("right")), "6")
    # By chain it gives up everything, so only what is unsolvable may be right; by tree it does what the oracle does.
    assert badges(page)[-2:] == ["right", "right"]
    assert len(badges(page)) == 6
    assert page.elements.count("figure") == 2
    rates = {key: passed(tmp_path, key) for key in ("chain-unconstrained", "dfsdt-unconstrained")}
    assert rates["chain-unconstrained"] < rates["dfsdt-unconstrained"] == 6


@pytest.mark.slow
def test_measurements_beside_each_other_find_the_same(tmp_path):
    found = []
    for workers in (1, 3):
        folder = tmp_path / str(workers)
        folder.mkdir()
        _, page = demo(folder, "oracle", "--workers", workers)
        predictions = json.loads((folder / "demo" / "predictions" / "unconstrained.json").read_text())
        found.append(
            (badges(page), passed(folder, "chain-unconstrained"), passed(folder, "dfsdt-unconstrained"), predictions)
        )
    assert found[0] == found[1]


@pytest.mark.slow
def test_an_interrupted_demo_leaves_no_process(tmp_path, monkeypatch):
    monkeypatch.setenv("SLOW_S", "0.5")
    (tmp_path / "rollout_agents.py").symlink_to(SUPPORT / "rollout_agents.py")
    options = ("--agent", "rollout_agents:slow", "--world", "small", "--tasks", "3", "--workers", "2", "--out", "demo")
    measuring = (tmp_path / "demo" / "rollouts" / "dfsdt-unconstrained" / "rollout.toml").exists
    broken = interrupt_when(measuring, start("demo", *options, cwd=tmp_path))
    assert broken.code == 130, broken.err
    assert "the same command measures again" in broken.err
    assert "Traceback" not in broken.err
    assert "warning" not in broken.err
    assert not left_in(tmp_path)


def test_a_measurement_that_fails_is_named(tmp_path):
    options = ("--agent", "rollout_agents:tiring", "--world", "small", "--tasks", "3", "--out", "demo")
    ended = run_here("demo", *options, cwd=tmp_path)
    assert ended.code == 1
    assert ended.err.splitlines()[-1] == "error: steps, unconstrained: the endpoint is busy"
    assert not (tmp_path / "demo" / "report.html").exists()


@pytest.mark.parametrize("grammar", [None, "structured_outputs"])
def test_models_behind_endpoints_are_shown_and_measured_and_held_where_that_can_be(grammar, tmp_path):
    with serving(Reply(body=chat_reply("Nothing helps.\nNext: give up."))) as server:
        takes = "" if grammar is None else f"grammar = '{grammar}'\n"
        roles = [f"[roles.{name}]\nbase_url = '{server.url}'\nmodel = 'm'\n{takes}" for name in ROLES]
        (tmp_path / "agent.toml").write_text("format = 'chat'\n" + "".join(roles))
        out, page = demo(tmp_path, "agent.toml", "--tasks", "1")
        held = [received for received in server.received if "structured_outputs" in received.body]
    check_safe(page)
    told = f"Constrained decoding is left out: the endpoint {server.url} takes no grammar that is known."
    assert (told in page.text, told in " ".join(out.split()).replace(" \n", "")) == (grammar is None,) * 2
    assert bool(held) == (grammar is not None)
    assert (tmp_path / "demo" / "predictions" / "constrained.json").exists() == (grammar is not None)
    assert "ended with an error" not in page.text
    assert sum(name == "class" and value == "card" for _, name, value in page.attributes) == 6


def test_errors_of_tasks_are_counted_and_told(tmp_path, monkeypatch):
    out, page = demo(tmp_path, "rollout_agents:stumbling")
    words = "4 of 12 whole tasks ended with an error and count as not passed; one: RuntimeError: a bug"
    assert words in " ".join(out.split())
    assert words in page.text
    assert "in many lines" not in page.text
    assert passed(tmp_path, "chain-unconstrained") == 4
    # What an error ended is nothing that a tree search could save, and is not done again.
    assert "The chain fails at none of 6 tasks" in page.text


def passed(folder, name):
    lines = (folder / "demo" / "rollouts" / name / "rollouts.jsonl").read_text().splitlines()
    return sum(bool((json.loads(line)["verdict"] or {}).get("passed")) for line in lines)


def test_the_demo_begins_anew_and_leaves_other_files_alone(tmp_path):
    demo(tmp_path, "oracle")
    (tmp_path / "demo" / "mine.txt").write_text("mine")
    _, page = demo(tmp_path, "oracle")
    assert badges(page) == ["right"] * 4
    assert (tmp_path / "demo" / "mine.txt").read_text() == "mine"


@pytest.mark.slow
@pytest.mark.skipif(not (FOLDER / DEFAULT / "base").is_dir(), reason="this copy has no bundled base model")
def test_training_begins_at_the_bundled_base_and_goes_on_to_the_demo(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    command = ("demo", "--train", "--trajectories", "12", "--tasks", "1", "--workers", "1", "--out", "it's trained")
    out = tmp_path / "it's trained"
    agent, left = out / "agent", out / "world" / "train" / "answer" / "G1_answer" / "left_Oracle.json"
    for folder in (out, out / "world"):
        claim_folder(folder)
    left.parent.mkdir(parents=True)
    left.write_text("{")  # of a run that was interrupted in another version of the world
    # An agent of 12 trajectories writes without end: its demo is not waited for.
    stopped = interrupt_when((agent / "provenance.json").exists, start(*command, cwd=tmp_path))
    assert stopped.code == 130, stopped.err
    made = read_agent(agent).provenance
    assert (made.agent, made.preset, made.world) == ("agent", "small", PRESETS["small"].version)
    assert (out / f"12-world-{made.world}.jsonl").exists()
    assert "umi-tiny/base" in (agent / "config.toml").read_text()
    learned = (agent / "metrics.json").read_text()  # with the seconds that it took
    under_way = start(*command, cwd=tmp_path)
    again = interrupt_when(lambda: "4. The demo" in under_way.stdout.readline(), under_way)
    assert again.code in (130, -2), again.err  # a shell calls both 130
    assert "interrupted" in again.err
    assert (agent / "metrics.json").read_text() == learned


def test_the_words_on_tree_search_say_plainly_what_it_passes_of_what_the_chain_fails_at():
    assert rescue_words(60, 0, 0).startswith("The chain fails at none of 60 tasks")
    assert rescue_words(60, 5, 0) == "The chain fails at 5 of 60 tasks. Tree search (DFSDT) rescues none of them."
    assert rescue_words(60, 5, 3).endswith("Tree search (DFSDT) passes 3 of these 5.")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--agent", "oracle"), "name one by --world"),
        (("--agent", "oracle", "--world", "huge"), "known: tiny, small, full"),
        (("--train", "--agent", "oracle"), "leave out --agent"),
        (("--fresh",), "go with --train"),
    ],
)
def test_what_cannot_be_shown_is_refused_before_anything_is_made(options, said, tmp_path):
    ended = run_here("demo", *options, cwd=tmp_path)
    assert ended.code == 2
    assert said in ended.err
    assert not [*tmp_path.iterdir()]


def test_calls_are_counted_with_what_is_wrong_in_them():
    calls = [("a", "{}"), ("b", "{}"), ("a", "{"), ("", "[]"), ("a", "[" * 100_000)]
    faults = find_faults([Call(name=name, arguments=text) for name, text in calls], {"a"})
    assert faults == CallFaults(calls=5, unknown_names=2, broken_json=3)
    assert faults + CallFaults() == faults

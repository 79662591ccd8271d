"""Work that is stopped: finished work is kept, the same command goes on, the result is that of an uninterrupted run."""

import hashlib
import json
import signal
import sys

import pytest

from alpha_umi.store import write_trajectories
from alpha_umi.world import Split, World, answer_document
from support.commands import ended, interrupt_when, run, run_here, start
from support.endpoint_server import Answer, chat_reply, serving

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals to a process group, limits of file sizes")

AGENT = """
format = "chat"
[roles.planner]
base_url = "{url}"
model = "m"
[roles.caller]
base_url = "{url}"
model = "m"
[roles.summarizer]
base_url = "{url}"
model = "m"
"""
TASKS, ANSWERS = 8, 3000


def says(body):
    """Words that depend on the prompt alone, so that a repetition shows as one and an order does not matter."""
    digest = hashlib.sha256(json.dumps(body["messages"]).encode()).hexdigest()
    ending = ("Next: caller.", "Next: conclusion.", "Next: give up.")[int(digest, 16) % 3]
    return chat_reply(f"{digest} {ending}")


@pytest.fixture
def desk(tmp_path):
    world = World()
    gold = [world.gold(world.task(Split.TRAIN, index)) for index in range(TASKS)]
    write_trajectories(tmp_path / "t.jsonl", gold)
    return tmp_path


@pytest.fixture
def endpoint(desk):
    with serving(Answer(make=says)) as server:
        (desk / "agent.toml").write_text(AGENT.format(url=server.url))
        yield server


CONCURRENCY = 3
PREDICT = ("predict", "--agent", "agent.toml", "--data", "t.jsonl", "--concurrency", CONCURRENCY, "--out")


def finished(desk):
    """The rows that are on disk, the last one perhaps cut short."""
    parts = [part.read_bytes() for part in desk.glob("p.json.*.parts/*.jsonl")]
    return [line for part in parts for line in part.splitlines(keepends=True) if line.endswith(b"\n")]


@pytest.mark.parametrize(
    "number",
    [pytest.param(signal.SIGINT, id="ctrl-c"), pytest.param(signal.SIGKILL, id="kill", marks=pytest.mark.slow)],
)
def test_prediction_goes_on_where_it_was_stopped(number, desk, endpoint):
    assert run_here(*PREDICT, "whole.json", cwd=desk).code == 0
    asked = len(endpoint.received)
    endpoint.held_after = asked + asked // 2
    process = start(*PREDICT, "p.json", cwd=desk)
    ended = interrupt_when(lambda: endpoint.held >= CONCURRENCY and len(finished(desk)) >= 5, process, number)
    endpoint.held_after = None
    if number is signal.SIGINT:
        assert ended.code == 130
        assert ended.err == "error: interrupted; the same command goes on from what is predicted\n"
    kept = [json.loads(line)["row"] for line in finished(desk)]
    steps = len(json.loads((desk / "whole.json").read_text()))
    assert 5 <= len(kept) < steps
    assert not (desk / "p.json").exists()
    before = len(endpoint.received)
    assert run_here(*PREDICT, "p.json", cwd=desk).code == 0
    assert len(endpoint.received) - before == asked - sum(len(row["proposal"]) for row in kept)
    assert (desk / "p.json").read_bytes() == (desk / "whole.json").read_bytes()
    assert not list(desk.glob("*.parts"))


def test_a_finished_prediction_is_not_made_again_unless_something_changed(desk, endpoint):
    assert run_here(*PREDICT, "p.json", "--limit", "2", cwd=desk).code == 0
    asked, made = len(endpoint.received), (desk / "p.json").read_bytes()
    again = run_here(*PREDICT, "p.json", "--limit", "2", cwd=desk)
    assert again.code == 0
    assert "all predicted before with these settings" in again.out
    assert len(endpoint.received) == asked
    assert (desk / "p.json").read_bytes() == made
    (desk / "p.json").write_text("[]")  # somebody's own
    assert run_here(*PREDICT, "p.json", "--limit", "2", cwd=desk).code == 0
    assert (desk / "p.json").read_bytes() == made
    other = run_here(*PREDICT, "p.json", "--limit", "3", cwd=desk)  # other settings: made anew, as any output is
    assert (other.code, "before" in other.out) == (0, False)
    assert len(json.loads((desk / "p.json").read_text())) > len(json.loads(made))
    assert not list(desk.glob("*.parts"))


@pytest.mark.slow
def test_two_processes_leave_the_result_and_nothing_else_however_late_one_is(desk, endpoint):
    assert run_here(*PREDICT, "one.json", cwd=desk).code == 0
    alone = len(endpoint.received)
    first, second = (start(*PREDICT, "p.json", cwd=desk, shard=(rank, 2)) for rank in (0, 1))
    assert [ended(first).code, ended(second).code] == [0, 0]
    assert (desk / "p.json").read_bytes() == (desk / "one.json").read_bytes()
    assert len(endpoint.received) == 2 * alone
    late = run(*PREDICT, "p.json", cwd=desk, shard=(1, 2))  # it finds the parts gone
    assert late.code == 0
    assert len(endpoint.received) == 2 * alone
    assert sorted(path.name for path in desk.glob("p.json*")) == ["p.json", "p.json.provenance"]


@pytest.mark.slow
def test_prediction_on_a_full_disk_keeps_whole_rows_and_goes_on(desk, endpoint):
    assert run_here(*PREDICT, "whole.json", cwd=desk).code == 0
    ended = run(*PREDICT, "p.json", cwd=desk, file_bytes=12_000)
    assert ended.code == 7
    assert ended.err.startswith("error: ")
    assert "cannot be written: File too large" in ended.err
    assert len(ended.err.splitlines()) == 1
    assert finished(desk)
    assert not (desk / "p.json").exists()
    assert run_here(*PREDICT, "p.json", cwd=desk).code == 0
    assert (desk / "p.json").read_bytes() == (desk / "whole.json").read_bytes()


def test_prediction_through_an_endpoint_needs_no_torch(desk, endpoint):
    (desk / "without.py").write_text(
        "import sys\nfrom alpha_umi import cli\n"
        "try:\n    cli.main()\nfinally:\n    assert 'torch' not in sys.modules\n    print('without')\n"
    )
    ended = run(*PREDICT, "p.json", "--limit", "2", cwd=desk, module="without")
    assert (ended.code, ended.out.splitlines()[-1]) == (0, "without"), ended.err


@pytest.fixture
def answers(desk):
    """Enough raw answers for several processes to be at work for a second."""
    world = World()
    folder = desk / "answer" / "G1_answer"
    folder.mkdir(parents=True)
    texts = [json.dumps(answer_document(world.gold(world.task(Split.TRAIN, index)))) for index in range(TASKS)]
    for number in range(ANSWERS):
        (folder / f"{number}_x.json").write_text(texts[number % TASKS])
    return desk / "answer"


@pytest.mark.slow
def test_ctrl_c_and_a_full_disk_leave_no_half_of_a_preparation(desk, answers):
    prepare = ("prepare", "toolbench", "--answers", "answer", "--workers", "2", "--out", "p.jsonl")
    for _ in range(5):  # on a busy machine it may be done before it is seen at work
        (desk / "p.jsonl").write_text("old\n")
        ended = interrupt_when(lambda: list(desk.glob(".umi-*.part")), start(*prepare, cwd=desk))
        if ended.code:
            break
    assert (ended.code, ended.err, ended.out) == (130, "error: interrupted\n", "")
    full = run(*prepare, cwd=desk, file_bytes=20_000)
    assert full.code == 7
    assert full.err == "error: p.jsonl: cannot be written: File too large; what was there is unchanged\n"
    assert (desk / "p.jsonl").read_text() == "old\n"
    assert not list(desk.glob(".p.jsonl*"))
    assert run_here(*prepare, cwd=desk).code == 0
    assert len((desk / "p.jsonl").read_text().splitlines()) == ANSWERS


TRAIN = ("train", "tiny", "--set", "data.train=t.jsonl", "--set", "model.tiny.hidden_size=32", "--set", "log_every=1",
         *(word for stage, steps in (("backbone", 30), ("planner", 3), ("caller", 3), ("summarizer", 3))
           for word in ("--set", f"stages.{stage}.max_steps={steps}")))  # fmt: skip


@pytest.mark.slow
def test_training_goes_on_to_the_weights_of_an_uninterrupted_run(desk):
    assert run_here(*TRAIN, "--set", "out=whole", cwd=desk).code == 0
    history = desk / "stopped" / "history" / "backbone.jsonl"
    under_way = start(*TRAIN, "--set", "out=stopped", cwd=desk)
    ended = interrupt_when(lambda: history.exists() and history.read_text().count("\n") >= 5, under_way)
    assert ended.code == 130
    assert ended.err.splitlines()[-1].startswith("error: interrupted; what is done is saved, --resume goes on")
    assert "Traceback" not in ended.err
    assert not (desk / "stopped" / "umi.toml").exists()
    again = run_here(*TRAIN, "--set", "out=stopped", cwd=desk)
    assert again.code == 2
    assert "--resume" in again.err
    assert run_here(*TRAIN, "--set", "out=stopped", "--resume", cwd=desk).code == 0
    weights = sorted(path.relative_to(desk / "whole") for path in (desk / "whole").glob("*/model.safetensors"))
    assert len(weights) == 4
    for path in weights:
        assert (desk / "stopped" / path).read_bytes() == (desk / "whole" / path).read_bytes(), path

"""Two processes on one `--out`: the second is refused by every verb, before it changes anything."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

import alpha_umi as umi
from alpha_umi.errors import ConfigError
from alpha_umi.output_lock import locked
from support.commands import run_here
from support.lock_holder import hold

WORK = "another process is at work on it"
VERBS = {
    "train": ("train", "tiny", "--set", "out='OUT'", "--set", "data.train='data.jsonl'"),
    "pretrain": ("pretrain", "base-tiny", "--set", "out='OUT'", "--set", "texts='data.jsonl'"),
    "predict": ("predict", "--agent", "umi-tiny", "--data", "data.jsonl", "--out", "OUT"),
    "rollout": ("rollout", "--agent", "oracle", "--queries", "data.jsonl", "--env", "world", "--out", "OUT"),
    "evaluate static": ("evaluate", "static", "rows.json", "--out", "OUT"),
    "evaluate retrieval": ("evaluate", "retrieval", "--queries", "queries", "--tools", "tools", "--out", "OUT"),
    "prepare toolbench": ("prepare", "toolbench", "--answers", "answers", "--out", "OUT"),
    "prepare processed": ("prepare", "processed", "rows.json", "--out", "OUT"),
    "prepare custom": ("prepare", "custom", "rows.json", "--reader", "json:loads", "--out", "OUT"),
    "prepare rollouts": ("prepare", "rollouts", "run", "--out", "OUT"),
    "prepare mask": ("prepare", "mask", "data.jsonl", "--out", "OUT"),
    "judge convert": ("judge", "convert", "run", "--out", "OUT"),
    "judge pass": ("judge", "pass", "answers", "--world", "--out", "OUT"),
    "judge win": ("judge", "win", "one", "other", "--world", "--out", "OUT"),
    "judge report": ("judge", "report", "one", "--out", "OUT"),
    "report": ("report", "run", "--out", "OUT"),
    "export": ("export", "--trajectories", "data.jsonl", "--role", "planner", "--format", "shared", "--out", "OUT"),
    "export agent": ("export", "agent", "run", "--world", "tiny", "--out", "OUT"),
    "world write": ("world", "write", "--count", "1", "--out", "OUT"),
    "world pages": ("world", "pages", "--count", "1", "--out", "OUT"),
    "format learn": ("format", "learn", "--role", "planner=rows.json", "--out", "OUT"),
    "study": ("study", "quick", "--out", "OUT"),
    "study report": ("study", "quick", "--report", "--out", "OUT"),
    "demo": ("demo", "--agent", "oracle", "--world", "tiny", "--tasks", "1", "--out", "OUT"),
    "bench engine": ("bench", "engine", "--out", "OUT"),
    "ask": ("ask", "hello", "--agent", "oracle", "--out", "OUT"),
    "chat": ("chat", "--agent", "oracle", "--out", "OUT"),
}


@pytest.fixture
def desk(tmp_path):
    assert run_here("world", "write", "--count", "1", "--out", "made", cwd=tmp_path).code == 0
    (tmp_path / "made" / "train.jsonl").rename(tmp_path / "data.jsonl")
    (tmp_path / "taken").mkdir()
    return tmp_path


@pytest.mark.parametrize("verb", list(VERBS))
def test_a_verb_refuses_what_another_process_writes(desk, verb):
    for out in ("taken", "new", "new/deeper/file.json"):
        command = [word.replace("OUT", out) for word in VERBS[verb]]
        with locked(desk / out):
            before = sorted(desk.rglob("*"))
            refused = run_here(*command, cwd=desk)
            assert (refused.code, WORK in refused.err, out in refused.err) == (2, True, True), refused.err
            assert sorted(desk.rglob("*")) == before
    assert not [*desk.rglob("*.lock")]
    assert not (desk / "new").exists()


def test_a_lock_is_one_for_all_names_of_a_place(desk):
    (desk / "link").symlink_to("taken", target_is_directory=True)
    with locked(desk / "taken"):
        for other in (desk / "link", desk / "made" / ".." / "taken", desk / "taken" / ""):
            with pytest.raises(ConfigError, match=WORK), locked(other):
                pass
        with locked(desk / "taken" / "part"), locked(desk / "taken2"):
            pass


def test_every_process_of_a_distributed_run_holds_its_own(desk, monkeypatch):
    with locked(desk / "out"):
        monkeypatch.setenv("RANK", "1")
        with locked(desk / "out"), pytest.raises(ConfigError, match=WORK), locked(desk / "out"):
            pass


@pytest.mark.parametrize("name", ["x" * 255, "é" * 120, "\udcff", "a b", ".hidden"])
def test_any_name_of_a_file_can_be_locked(tmp_path, name):
    with locked(tmp_path / name):
        (tmp_path / name).write_text("")
        with pytest.raises(ConfigError), locked(tmp_path / name):
            pass
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / ".out.lock").symlink_to("mine.txt")
    with locked(tmp_path / "out"):
        pass
    assert (tmp_path / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("forks", [False, True])
def test_a_killed_process_holds_nothing_even_where_its_children_live(tmp_path, forks):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=hold, args=(tmp_path / "out", ready, forks))
    process.start()
    assert ready.wait(60)
    with pytest.raises(ConfigError, match=WORK), locked(tmp_path / "out"):
        pass
    children = [int(child) for child in _children(process.pid)]
    process.kill()
    process.join()
    with locked(tmp_path / "out"):
        assert len(children) == forks
    for child in children:
        os.kill(child, signal.SIGKILL)
    assert not [*tmp_path.iterdir()]


def _children(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_of_many_processes_one_at_a_time_holds_a_lock(tmp_path):
    context = multiprocessing.get_context("fork")
    counter = tmp_path / "count"
    counter.write_text("0")
    workers = [context.Process(target=_count, args=(tmp_path / "out", counter)) for _ in range(6)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert int(counter.read_text()) == 6 * 40


def _count(out, counter):
    done = 0
    while done < 40:
        try:
            with locked(out):
                counter.write_text(str(int(counter.read_text()) + 1))
                done += 1
        except ConfigError:
            continue


@pytest.mark.slow
def test_an_agent_is_not_saved_where_another_process_writes(tmp_path):
    with umi.load("umi-tiny") as agent, locked(tmp_path / "out"), pytest.raises(ConfigError, match=WORK):
        agent.save_pretrained(tmp_path / "out")

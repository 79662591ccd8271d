"""Files appear whole or not at all, and what is read back is what was written."""

import json
import resource
import signal
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alpha_umi.errors import ConfigError, DataError, StorageError
from alpha_umi.store import (
    MARK,
    Ledger,
    claim_folder,
    make_folder,
    read_json,
    read_trajectories,
    write_json,
    write_text,
    write_trajectories,
)
from alpha_umi.types import Task, Trajectory, User
from support.examples import examples
from support.strategies import trajectories

any_file = settings(
    max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@any_file
@given(written=st.lists(trajectories, max_size=4), suffix=st.sampled_from(["", ".gz", ".zst"]))
def test_trajectories_survive_the_file(written, suffix, tmp_path):
    path = tmp_path / f"t.jsonl{suffix}"
    assert write_trajectories(path, written) == len(written)
    assert list(read_trajectories(path)) == written


def test_reading_needs_constant_memory(tmp_path):
    path = tmp_path / "t.jsonl"
    row = Trajectory(task=Task(id="1", query="q" * 10_000), turns=(User(text="u" * 10_000),))
    write_trajectories(path, (row for _ in range(500)))
    tracemalloc.start()
    assert sum(1 for _ in read_trajectories(path)) == 500
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000 < path.stat().st_size


def test_a_failure_while_writing_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text("old")

    def broken():
        yield Trajectory(task=Task(id="1", query="q"), turns=())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_trajectories(path, broken())
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.jsonl"]


def test_a_full_disk_is_a_clear_error_and_leaves_nothing(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(StorageError, match=r"t\.json: cannot be written"):
            write_json(tmp_path / "t.json", ["x" * 1000] * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"schema": "alpha_umi.trajectory/1"', r"t\.jsonl:2:\d+: broken JSON"),
        ("3", r"t\.jsonl:2: not a trajectory: a JSON object"),
        ("[3]", r"t\.jsonl: row 0: not a trajectory: a JSON object"),
        ('{"schema": "other/9"}', r"t\.jsonl:2: schema is 'other/9'"),
        ('{"schema": "alpha_umi.trajectory/1", "task": {}}', r"task\.id is missing"),
        (
            '{"schema": "alpha_umi.trajectory/1", "task": {"id": "", "query": "", "tools": []}, '
            '"turns": [{"turn": "x"}]}',
            r"turns\[0\]\.turn is 'x', but must be one of user, plan",
        ),
    ],
)
def test_a_broken_row_names_its_line(content, message, tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text("\n" + content + "\n")
    with pytest.raises(DataError, match=message):
        list(read_trajectories(path))


def test_a_missing_file_a_folder_and_bytes_that_are_no_text_are_named(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_json(tmp_path / "none.json")
    with pytest.raises(DataError, match="is a directory"):
        read_json(tmp_path)
    (tmp_path / "b.json").write_bytes(b"\xff\xf0\x00")
    with pytest.raises(DataError, match="not UTF-8"):
        read_json(tmp_path / "b.json")
    (tmp_path / "c.json.gz").write_bytes(b"no gzip")
    with pytest.raises(DataError, match="cannot be read"):
        read_json(tmp_path / "c.json.gz")


def test_a_ledger_forgets_only_the_row_that_a_crash_cut(tmp_path):
    path = tmp_path / "done.jsonl"
    ledger = Ledger(path)
    ledger.append("a", {"n": 1})
    ledger.append("b", {"n": 2})
    with path.open("ab") as file:
        file.write(b'{"key": "c", "row"')
    assert Ledger(path).read() == {"a": {"n": 1}, "b": {"n": 2}}
    Ledger(path).mend()
    Ledger(path).append("c", {"n": 3})
    assert list(Ledger(path).read()) == ["a", "b", "c"]


def test_text_is_written_with_plain_line_ends(tmp_path: Path):
    with write_text(tmp_path / "deep" / "x.txt") as text:
        text.write("a\nb\n")
    assert (tmp_path / "deep" / "x.txt").read_bytes() == b"a\nb\n"
    write_json(tmp_path / "x.json", {"ü": 1})
    assert (tmp_path / "x.json").read_text() == json.dumps({"ü": 1}, indent=2)


def test_only_a_folder_that_was_made_here_is_emptied(tmp_path):
    ours, other = tmp_path / "a" / "ours", tmp_path / "other"
    claim_folder(ours, emptied=True)
    (ours / "sub").mkdir()
    other.mkdir()
    for place in (ours / "file", ours / "sub" / "file"):
        place.write_text("")
    (other / "mine.txt").write_text("mine")
    (ours / "link").symlink_to(other)
    claim_folder(ours)
    assert (ours / "sub" / "file").exists()
    claim_folder(ours, emptied=True)
    claim_folder(ours, emptied=True)
    assert [entry.name for entry in ours.iterdir()] == [MARK]
    for emptied in (False, True):
        with pytest.raises(ConfigError, match="other: holds something else; name another --out"):
            claim_folder(other, emptied=emptied)
    assert [entry.name for entry in other.iterdir()] == ["mine.txt"]


def test_a_place_that_cannot_be_a_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for make in (make_folder, claim_folder):
        for path in (tmp_path / "file", tmp_path / "file" / "below"):
            with pytest.raises(StorageError, match="cannot be a folder"):
                make(path)
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")

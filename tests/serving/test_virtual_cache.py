"""The replay cache: one question has one reply, whoever writes at once and whoever is killed."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_umi.errors import DataError, StorageError
from alpha_umi.serving.virtual_tools.cache import MODEL, ReplyCache, Row
from alpha_umi.serving.virtual_tools.folders import export_folder, import_folder
from alpha_umi.serving.virtual_tools.wire import ApiAddress, Asked, Reply, address_of, read_input
from alpha_umi.types import ToolStatus
from support.commands import environment, run_here
from support.examples import examples

ADDRESS = ApiAddress(category="Data", tool="clock", api="now")


def asked(address=ADDRESS, **arguments):
    return Asked(address=address, arguments=arguments)


def row(reply, source="imported", scope="", **arguments):
    return Row(asked=asked(**arguments), reply=Reply(response=reply), source=source, scope=scope)


@pytest.fixture
def cache(tmp_path):
    opened = ReplyCache(tmp_path / "replies.sqlite")
    yield opened
    opened.close()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
REPLY = st.builds(Reply, error=st.text(), response=JSON, status=st.sampled_from(ToolStatus))


@settings(max_examples=examples(25), deadline=None)
@given(arguments=st.dictionaries(st.text(), JSON, max_size=4), reply=REPLY, names=st.tuples(st.text(), st.text()))
def test_what_is_kept_is_found_in_whatever_order_its_arguments_come(tmp_path_factory, arguments, reply, names):
    cache = ReplyCache(tmp_path_factory.getbasetemp() / f"laws-{time.monotonic_ns()}.sqlite")
    address = address_of(names[0], *names)
    cache.add(Row(asked=Asked(address=address, arguments=arguments), reply=reply, source="imported"))
    turned = read_input(json.dumps(dict(reversed(arguments.items()))))
    assert cache.find(Asked(address=address, arguments=turned)) == reply
    assert [each.reply for each in cache.rows()] == [reply]
    cache.close()


def test_of_several_replies_the_first_stays_and_is_what_is_returned(cache):
    assert cache.add(row("first", zone="utc")).response == "first"
    assert cache.add(row("second", zone="utc")).response == "first"
    assert cache.add_all([row("third", zone="utc"), row("new", zone="cet")]) == 1
    assert cache.find(asked(zone="utc")).response == "first"


def test_a_reply_of_one_scope_is_not_seen_in_another(cache):
    cache.add(row("here", scope="world/1", zone="utc"))
    assert cache.find(asked(zone="utc")) is None
    assert cache.find(asked(zone="utc"), "world/2") is None
    assert cache.find(asked(zone="utc"), "world/1").response == "here"
    cache.add(row("everywhere", zone="utc"))
    assert cache.find(asked(zone="utc"), "world/2").response == "everywhere"


def test_examples_are_first_those_that_no_model_wrote_and_never_errors(cache):
    cache.add(row("by a model", source=f"{MODEL}m", zone="a"))
    cache.add(row("real", zone="z"))
    failed = Reply(error="Message error...", response="x", status=ToolStatus.ERROR)
    cache.add(Row(asked=asked(zone="b"), reply=failed, source="imported"))
    assert [example.reply.response for example in cache.examples(ADDRESS, 5)] == ["real", "by a model"]
    assert len(cache.examples(ADDRESS, 1)) == 1


def test_all_rows_come_in_pages_without_a_gap(cache):
    cache.add_all(row(number, number=number, scope=scope) for number in range(1300) for scope in ("", "s"))
    assert sorted(each.reply.response for each in cache.rows()) == sorted([*range(1300), *range(1300)])


def test_a_file_that_is_no_cache_is_named(tmp_path):
    text, other, newer = tmp_path / "text.sqlite", tmp_path / "other.sqlite", tmp_path / "newer.sqlite"
    text.write_text("no database, but long enough to have a header" * 10)
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE t (x)")
    ReplyCache(newer).close()
    with sqlite3.connect(newer) as database:
        database.execute("PRAGMA user_version = 9")
    for path, words in ((text, "is no reply cache"), (other, "but no reply cache"), (newer, "version 9")):
        with pytest.raises(DataError, match=words):
            ReplyCache(path)
    assert other.stat().st_size
    with pytest.raises(StorageError, match="cannot be opened"):
        ReplyCache(text / "below.sqlite")


# --- several processes ----------------------------------------------------------------------------------

WRITER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from alpha_umi.serving.virtual_tools.cache import ReplyCache, Row
from alpha_umi.serving.virtual_tools.wire import ApiAddress, Asked, Reply

path, name, first, last = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
print("ready", flush=True)
while not Path(path).with_suffix(".go").exists():
    pass
cache = ReplyCache(Path(path))
address = ApiAddress(category="Data", tool="clock", api="now")
for number in range(first, last):
    kept = cache.add(
        Row(asked=Asked(address=address, arguments={"n": number}), reply=Reply(response=name), source="imported")
    )
    print(number, kept.response, flush=True)
"""


def writer(path, name, first, last):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(first), str(last)],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )


def test_processes_that_write_at_once_agree_on_every_reply(tmp_path):
    """Four of them, on one new file and the same questions."""
    path, count = tmp_path / "replies.sqlite", 200
    processes = [writer(path, name, 0, count) for name in "abcd"]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 4  # so that they start together
    path.with_suffix(".go").touch()
    told = [process.communicate(timeout=600)[0].splitlines() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert all(len(lines) == count for lines in told)
    assert len(set(map(tuple, told))) == 1
    cache = ReplyCache(path)
    assert [f"{each.asked.arguments['n']} {each.reply.response}" for each in cache.rows()] == sorted(
        told[0], key=lambda line: f'{{"n":{line.split()[0]}}}'
    )
    cache.close()


def test_a_new_file_is_opened_by_many_at_once(tmp_path):
    with ThreadPoolExecutor(8) as many:
        for number in range(40):
            path, together = tmp_path / f"{number}.sqlite", Barrier(8)

            def opened(path=path, together=together):
                together.wait()
                ReplyCache(path).close()

            for opening in [many.submit(opened) for _ in range(8)]:
                opening.result()


@pytest.mark.slow
def test_what_was_said_to_be_kept_is_there_after_kills(tmp_path):
    path, said = tmp_path / "replies.sqlite", set()
    path.with_suffix(".go").touch()
    for turn in range(5):
        processes = [writer(path, f"{turn}{name}", turn * 10_000, turn * 10_000 + 10_000) for name in "ab"]
        assert [process.stdout.readline() for process in processes] == ["ready\n"] * 2
        lines = [processes[0].stdout.readline() for _ in range(20 + 10 * turn)]
        for process in processes:
            os.kill(process.pid, signal.SIGKILL)
        for process in processes:
            rest, _ = process.communicate()
            lines += [line for line in rest.splitlines(keepends=True) if line.endswith("\n")]
        said |= {line.strip() for line in lines}
    cache = ReplyCache(path)
    kept = {f"{each.asked.arguments['n']} {each.reply.response}" for each in cache.rows()}
    assert said <= kept
    assert len(kept) == sum(cache.count().values())
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    cache.close()


# --- StableToolBench's folders --------------------------------------------------------------------------


def write_folder(root, files):
    for name, replies in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(replies))


NOON = {"error": "", "response": "noon"}


def test_a_cache_folder_comes_back_as_it_was(tmp_path, cache):
    hard = str({"zone": "it's", "n": 1.5, "deep": [None, True]})
    failed = {"error": "Message error...", "response": {"message": "no"}, "more": 1}
    files = {
        "Data/clock_for_Data/now.json": {"{}": NOON, hard: NOON},
        "Health_and_Fitness/walk_for_Health_and_Fitness/is_id.json": {"{'q': 'a'}": failed},
    }
    write_folder(tmp_path / "in", files)
    moved = import_folder(tmp_path / "in", cache)
    assert (moved.files, moved.replies, moved.known, dict(moved.skipped)) == (2, 3, 0, {})
    assert cache.find(asked(n=1.5, deep=[None, True], zone="it's")).response == "noon"
    assert cache.find(asked(address_of("Health and Fitness", "Walk", "id"), q="a")).extra == {"more": 1}
    export_folder(cache, tmp_path / "out")
    written = {str(path.relative_to(tmp_path / "out")): path for path in (tmp_path / "out").glob("*/*/*.json")}
    assert {name: json.loads(path.read_text()) for name, path in written.items()} == files
    assert import_folder(tmp_path / "out", cache).known == 3


@pytest.mark.parametrize("category", ["Food & Drink/Local", "food_drink_local", "Data"])
@pytest.mark.parametrize("ending", ["raw", "folder", "none"])
def test_folders_may_be_called_by_declared_names(category, ending, tmp_path, cache):
    folder = category.replace("/", "_")
    behind = {"raw": f"_for_{folder}", "folder": f"_for_{folder.replace(' ', '_')}", "none": ""}[ending]
    write_folder(
        tmp_path / "in", {f"{folder}/Tide Tables (new){behind}/Get High-Water 2.json": {"{'port': 'x'}": NOON}}
    )
    assert import_folder(tmp_path / "in", cache).replies == 1
    for names in (
        (category, "Tide Tables (new)", "Get High-Water 2"),
        (folder, f"tide_tables_new_for_{folder}", "get_high_water_2_for_tide_tables_new"),
    ):
        assert cache.find(asked(address_of(*names), port="x")) == Reply(response="noon")


def test_a_broken_file_among_others_is_named_and_the_others_are_imported(tmp_path, cache):
    write_folder(tmp_path / "in", {f"Data/clock_for_Data/{name}.json": {"{}": NOON} for name in ("a", "now", "z")})
    (tmp_path / "in/Data/clock_for_Data/m.json").write_text('{"{}": {"error"')
    moved = import_folder(tmp_path / "in", cache)
    assert (moved.files, moved.replies, len(moved.broken)) == (3, 3, 1)
    assert "m.json:1:16: broken JSON" in moved.broken[0]
    with pytest.raises(DataError, match=r"m\.json:1:16: broken JSON"):
        import_folder(tmp_path / "in", cache, strict=True)
    told = run_here("world", "cache", "import", tmp_path / "in", "--cache", tmp_path / "r.sqlite")
    assert told.out.splitlines()[1].startswith("  left out 1 files that cannot be read")
    assert run_here("world", "cache", "import", tmp_path / "in", "--cache", tmp_path / "r.sqlite", "--strict").code == 3


def test_keys_that_are_no_dictionary_are_counted_and_never_run(tmp_path, cache):
    trap = f"__import__('pathlib').Path({str(tmp_path / 'ran')!r}).touch()"
    replies = {trap: NOON, "[1]": NOON, "{'a': {1, 2}}": NOON, "(" * 9000: NOON, '{"a": true}': NOON, "{'b': 1}": 5}
    write_folder(tmp_path / "in", {"Data/clock_for_Data/now.json": replies})
    moved = import_folder(tmp_path / "in", cache)
    assert moved.replies == 1
    assert cache.find(asked(a=True)).response == "noon"
    assert sum(moved.skipped.values()) == 5
    assert not (tmp_path / "ran").exists()


def test_an_export_never_leaves_its_folder(tmp_path, cache):
    for category, tool, api in (("..", "a", "b"), ("Data", "", "b"), ("D\0", "a", "b"), ("x" * 300, "a", "b")):
        at = address_of(category, tool, api)
        cache.add(Row(asked=Asked(address=at, arguments={}), reply=Reply(response=1), source="imported"))
    cache.add(row("here", scope="world/1"))
    moved = export_folder(cache, tmp_path / "deep" / "out")
    assert (moved.files, sum(moved.skipped.values())) == (0, 5)
    assert not (tmp_path / "deep").exists()


def test_folders_that_are_no_cache_are_named(tmp_path, cache):
    with pytest.raises(DataError, match="holds no reply cache"):
        import_folder(tmp_path, cache)
    write_folder(tmp_path, {"Data/clock_for_Data/now.json": [1]})
    with pytest.raises(DataError, match=r"now\.json: is no reply cache"):
        import_folder(tmp_path, cache)


def test_the_command_line_imports_and_exports(tmp_path):
    write_folder(tmp_path / "in", {"Data/clock_for_Data/now.json": {"{'a': 1}": NOON, "oops": NOON}})
    file = tmp_path / "replies.sqlite"
    done = run_here("world", "cache", "import", tmp_path / "in", "--cache", file)
    assert done.out.splitlines() == [
        f"{file}: 1 new replies from 1 files, 0 were known",
        "  left out 1: their arguments are no dictionary",
    ]
    assert run_here("world", "cache", "export", "--cache", file, "--out", tmp_path / "out").code == 0
    assert json.loads((tmp_path / "out/Data/clock_for_Data/now.json").read_text()) == {"{'a': 1}": NOON}
    missing = run_here("world", "cache", "export", "--cache", tmp_path / "no.sqlite", "--out", tmp_path / "out")
    assert "no such replay cache" in missing.err

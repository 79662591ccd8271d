"""Files of others are read whatever their encoding, layout and compression; broken and boundless ones are errors."""

import gzip
import json
import subprocess
import sys
import textwrap
import tracemalloc

import pytest
import zstandard
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from alpha_umi import text_files
from alpha_umi.errors import DataError, StorageError
from alpha_umi.store import write_json, write_text
from alpha_umi.text_files import is_plain_text, open_text, read_json, read_json_rows, read_lines
from support.examples import examples

any_file = settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
json_objects = st.dictionaries(
    st.text(max_size=4),
    st.recursive(st.none() | st.integers() | st.text(max_size=6), st.lists, max_leaves=4),
    max_size=3,
)


def as_lines(rows):
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)


def as_loose_lines(rows):
    return "\n" + as_lines(rows).replace("\n", "\r\n\r\n")


def as_list(rows):
    return json.dumps(rows, ensure_ascii=False)


def as_indented_list(rows):
    return "\n " + json.dumps(rows, indent=2) + "\n\n"


def as_indented_values(rows):
    return "\n".join(json.dumps(row, indent=1) for row in rows)


LAYOUTS = [as_lines, as_loose_lines, as_list, as_indented_list, as_indented_values]


@any_file
@given(
    rows=st.lists(json_objects, max_size=4),
    layout=st.sampled_from(LAYOUTS),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    name=st.sampled_from(["x.json", "x.jsonl", "x", "x.txt", "x.json.gz", "x.jsonl.zst"]),
)
def test_rows_are_the_same_in_every_layout_encoding_and_name(rows, layout, encoding, name, tmp_path):
    assume(all(rows) or layout is not as_indented_values)
    data = layout(rows).encode(encoding, "surrogatepass")
    pack = {"gz": gzip.compress, "zst": zstandard.ZstdCompressor().compress}.get(name.rpartition(".")[2], bytes)
    path = tmp_path / name
    path.write_bytes(pack(data))
    assert [row.value for row in read_json_rows(path)] == rows
    assert [row.index for row in read_json_rows(path)] == list(range(len(rows)))


def test_a_row_knows_its_line(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('\n{"a": 1}\n\n{"a": 2}\n')
    assert [(row.line, row.where) for row in read_json_rows(path)] == [(2, f"{path}:2"), (4, f"{path}:4")]
    path.write_text('[\n{"a":\n 1},\n\n{"a": 2}, 3]')
    assert [row.line for row in read_json_rows(path)] == [2, 5, 5]
    assert [row.where for row in read_json_rows(path)] == [f"{path}: row {index}" for index in range(3)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1}\n{"a": \n', r":2:\d+: broken JSON"),
        ('{"a": 1\n{"a": 2}\n', r":1:\d+: broken JSON"),
        ('{"a": nul}\n{"a": 2}\n', r":1:\d+: broken JSON"),
        ('[{"a": 1},\n{"a": 2', r":2:\d+: broken JSON"),
        ('[{"a": 1}\n{"a": 2}]', r":2:1: broken JSON: Expecting ','"),
        ('[{"a": 1}]\n[2]', r":2:1: broken JSON: Extra data"),
        ('[{"a": 1},]', r":1:\d+: broken JSON"),
        ("[" * 100_000, "nested too deeply"),
        (f'{{"a": {"9" * 5000}}}', "a number too long"),
    ],
)
def test_broken_rows_name_their_line(content, message, tmp_path):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        list(read_json_rows(path))


def test_a_document_may_have_a_byte_order_mark(tmp_path):
    for number, encoding in enumerate(["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]):
        path = tmp_path / f"{number}.json"
        mark = "\ufeff" if encoding[-3] == "-" and number > 1 else ""
        path.write_bytes((mark + '{"é": "天气"}').encode(encoding))
        assert read_json(path) == {"é": "天气"}
        assert not is_plain_text(path)
    with write_text(tmp_path / "plain.json") as text:
        text.write("{}")
    assert is_plain_text(tmp_path / "plain.json")


# --- compressed files -------------------------------------------------------------------------------------


def zst_frames(text):
    """Two frames, the second without its size and with a checksum, as `cat a.zst b.zst` gives."""
    half, streamed = len(text) // 2, zstandard.ZstdCompressor(write_checksum=True).compressobj()
    return zstandard.ZstdCompressor().compress(text[:half]) + streamed.compress(text[half:]) + streamed.flush()


@pytest.mark.parametrize(("suffix", "pack"), [("gz", gzip.compress), ("zst", zst_frames)])
def test_a_truncated_file_is_an_error_at_every_cut(suffix, pack, tmp_path):
    text = as_lines([{"n": number, "text": "a weather report " * (number % 7)} for number in range(300)]).encode()
    path, whole = tmp_path / f"x.jsonl.{suffix}", pack(text)
    path.write_bytes(whole)
    assert len(list(read_lines(path))) == 300
    frames = {len(zstandard.ZstdCompressor().compress(text[: len(text) // 2]))} if suffix == "zst" else set()
    for cut in sorted(set(range(0, len(whole), max(1, len(whole) // 150))) | {0, 1, len(whole) - 1}):
        if cut not in frames:  # which is a whole file of its own
            path.write_bytes(whole[:cut])
            with pytest.raises(DataError, match=r"x\.jsonl\..*: cannot be read"):
                list(read_lines(path))


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_bytes_that_are_broken_in_the_middle_are_an_error(suffix, tmp_path):
    pack = gzip.compress if suffix == "gz" else zstandard.ZstdCompressor(write_checksum=True).compress
    whole = bytearray(pack(json.dumps([*range(9000)]).encode()))
    path = tmp_path / f"x.json.{suffix}"
    for at in range(len(whole) // 3, len(whole), len(whole) // 9):
        broken = whole.copy()
        broken[at] ^= 0xFF
        path.write_bytes(broken)
        with pytest.raises(DataError, match=f"{path.name}.*(cannot be read|broken|UTF-8|too long)"):
            read_json(path)
    path.write_bytes(bytes(whole) + b"something else")
    with pytest.raises(DataError, match="cannot be read"):
        read_json(path)


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_file_that_unpacks_out_of_proportion_is_an_error_before_it_fills_the_memory(suffix, tmp_path):
    path, spaces = tmp_path / f"x.json.{suffix}", b" " * (1 << 20)
    with gzip.open(path, "wb", compresslevel=9) if suffix == "gz" else zstandard.open(path, "wb") as packed:
        for _ in range(80):
            packed.write(spaces)
    assert path.stat().st_size < 500_000
    tracemalloc.start()
    with pytest.raises(DataError, match=r"unpacks to more than 200 times its size .*unpack it yourself"):
        list(read_json_rows(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300 << 20


def test_a_line_that_is_too_long_is_an_error(tmp_path, monkeypatch):
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n{"a": "' + "x" * 2000 + '"}\n')
    assert len(list(read_json_rows(path))) == 2
    monkeypatch.setattr("alpha_umi.text_files.LONGEST_LINE", 2000)
    with pytest.raises(DataError, match=r"x\.jsonl:2: a line of more than 2,000 characters"):
        list(read_json_rows(path))


# --- parts of files ---------------------------------------------------------------------------------------


def test_the_parts_of_a_killed_process_are_removed_and_those_of_a_living_one_are_not(tmp_path):
    code = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        from alpha_umi.store import write_text
        with write_text(Path(sys.argv[1]) / "x.json") as text:
            text.write("half")
            text.flush()
            os.kill(os.getpid(), signal.SIGKILL) if sys.argv[2] == "die" else print("up", flush=True)
            sys.stdin.read()
        """
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path), "die"], check=False)
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), "live"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as living:
        assert living.stdout is not None
        assert living.stdout.readline() == "up\n"
        mine = tmp_path / ".another-program.part"
        mine.write_text("")
        write_json(tmp_path / "y.json", {})
        assert len([path for path in tmp_path.iterdir() if path.suffix == ".part"]) == 2
        living.communicate("")
    assert sorted(path.name for path in tmp_path.iterdir()) == [mine.name, "x.json", "y.json"]
    assert (tmp_path / "x.json").read_text() == "half"


def test_two_files_of_one_folder_are_written_at_once(tmp_path):
    with write_text(tmp_path / "a.txt") as one, write_text(tmp_path / "b.txt.gz") as other:
        one.write("1")
        other.write("2")
        write_json(tmp_path / "c.json", 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b.txt.gz", "c.json"]
    with open_text(tmp_path / "b.txt.gz") as text:
        assert text.read() == "2"


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"x\.json: cannot be written"):
        write_json(tmp_path / "file" / "x.json", {})


def rows_or_error(path):
    """Rows that are read before an error, and its message."""
    found = []
    try:
        found.extend((row.value, row.line) for row in read_json_rows(path))
    except DataError as error:
        return found, str(error)
    return found, ""


@pytest.mark.parametrize("layout", [as_list, as_indented_list, as_indented_values])
def test_a_document_is_read_alike_in_parts_of_any_size(layout, tmp_path, monkeypatch):
    rows = [{"a": [1.5e3, -12, True, None, "x\u2028\\"]}, {"é😀": {"b": "]}, ["}}, {"false": [[], {}]}]
    path, whole = tmp_path / "x.json", layout(rows)
    for end in (len(whole), *range(0, len(whole), 7)):
        path.write_text(whole[:end], encoding="utf-8")
        monkeypatch.setattr(text_files, "_WINDOW", 1 << 20)
        expected = rows_or_error(path)
        for size in (1, 3, 16):
            monkeypatch.setattr(text_files, "_WINDOW", size)
            assert rows_or_error(path) == expected, (end, size)
    assert [value for value, _ in rows_or_error(path)[0]] == rows[: len(rows_or_error(path)[0])]


def test_long_numbers_stay_what_they_are_in_lines(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 18446744073709551616123, "b": "\\ud800", "c": 1e-7}\n{"a": 9223372036854775808}\n')
    values = [row.value for row in read_json_rows(path)]
    assert values == [{"a": 18446744073709551616123, "b": "\ud800", "c": 1e-7}, {"a": 9223372036854775808}]


def test_a_list_of_rows_takes_the_memory_of_a_few(tmp_path):
    path = tmp_path / "x.json"
    with path.open("w") as file:
        file.write("[" + ",".join(json.dumps({"text": f"{n:04}" * 500}) for n in range(8000)) + "]")
    tracemalloc.start()
    assert sum(1 for _ in read_json_rows(path)) == 8000
    assert tracemalloc.get_traced_memory()[1] < path.stat().st_size / 2
    tracemalloc.stop()

"""Pictures of a run, from the histories that it writes."""

import base64
import json
import re
import struct
from html.parser import HTMLParser

import pytest

from alpha_umi.errors import StorageError
from alpha_umi.training.curves import Pictures, StageRow, draw, read_history, report

LINES = [
    {"step": n, "epoch": n / 9, "loss": 3 / n, "grad_norm": 1.0, "learning_rate": 1e-5 * n, "tokens": 9, "seconds": 1.0}
    for n in range(1, 10)
]
STAGE = StageRow(
    name="backbone", examples=1200, steps=25, tokens=100_000, row_tokens=240_000, padded_tokens=800_000, seconds=61.2
)


def size(png):
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", png[16:24])


def write(folder, name, lines):
    (folder / "history").mkdir(exist_ok=True)
    (folder / "history" / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_every_number_of_a_history_has_a_panel():
    width, height = size(draw("planner", LINES))
    more = [{**line, "plan_accuracy": 0.5, "argument_f1": 0.2} for line in LINES]
    assert size(draw("planner", more))[0] == width
    assert size(draw("planner", more))[1] > height


def test_a_history_may_be_short_or_partly_measured():
    for lines in ([{"step": 1, "loss": 2.0}], [{"step": 1, "validation_loss": 2.0}], [{"step": 1}], LINES[:2]):
        size(draw("caller", lines))


def test_the_validation_loss_is_drawn():
    assert draw("x", [*LINES, {"step": 9, "validation_loss": 9.0}]) != draw("x", LINES)


def test_a_line_that_is_still_being_written_is_left_out(tmp_path):
    write(tmp_path, "backbone", LINES[:3])
    with (tmp_path / "history" / "backbone.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    assert [line["step"] for line in read_history(tmp_path / "history" / "backbone.jsonl")] == [1, 2, 3]


def test_pictures_are_whole_files_made_now_and_then(tmp_path):
    pictures = Pictures(tmp_path, every_s=3600)
    write(tmp_path, "backbone", LINES)
    assert pictures.update([STAGE])
    before = (tmp_path / "curves" / "backbone.png").read_bytes()
    write(tmp_path, "backbone", [*LINES, {"step": 10, "loss": 5.0}])
    assert not pictures.update([STAGE])
    assert (tmp_path / "curves" / "backbone.png").read_bytes() == before
    assert pictures.update([STAGE], force=True)
    assert (tmp_path / "curves" / "backbone.png").read_bytes() != before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves", "history", "report.html"]
    assert [path.name for path in (tmp_path / "curves").iterdir()] == ["backbone.png"]


def test_the_report_needs_no_other_file_and_says_what_was_saved(tmp_path):
    write(tmp_path, "backbone", LINES)
    Pictures(tmp_path).update([STAGE])
    page = (tmp_path / "report.html").read_text()
    assert "100,000 tokens were computed; 240,000 as rows alone (2.40 times as many), 800,000 as published" in page
    sources = re.findall(r'src="([^"]*)"', page)
    assert [base64.b64decode(source.partition(",")[2])[1:4] for source in sources] == [b"PNG"]
    assert "http" not in page


def test_names_in_the_report_are_text(tmp_path):
    found = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag, attrs):
            found.append(tag)

    Tags().feed(report("<script>", {}, [STAGE]))
    assert "script" not in found
    assert {"h1", "table"} <= set(found)


def test_before_anything_is_measured_there_is_a_page(tmp_path):
    assert Pictures(tmp_path).update()
    assert "Nothing is measured yet" in (tmp_path / "report.html").read_text()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    write(tmp_path, "backbone", LINES)
    (tmp_path / "curves").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match=r"backbone\.png: cannot be written"):
        Pictures(tmp_path).update()

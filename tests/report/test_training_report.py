"""The report of a training run, from the histories that it writes."""

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_umi.errors import StorageError
from alpha_umi.report import training
from alpha_umi.report.figures import to_png
from alpha_umi.report.training import (
    RunReport,
    draw_numbers,
    list_numbers,
    read_history,
    smoothed,
    training_page,
    training_section,
)
from support.pages import Page, check_safe

LINES = [
    {"step": n, "epoch": n / 9, "loss": 3 / n, "grad_norm": 1.0, "learning_rate": 1e-5 * n, "tokens": 9, "seconds": 1.0}
    for n in range(1, 10)
]
STAGE = {"stage": "backbone", "tokens": "100,000", "as rows": "2.40x", "as published": "8.00x"}


def size(lines):
    png = to_png(draw_numbers(lines, list_numbers(lines)))
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", png[16:24])


def write(folder, name, lines):
    (folder / "history").mkdir(exist_ok=True)
    (folder / "history" / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_every_number_of_a_history_has_a_panel():
    width, height = size(LINES)
    more = [{**line, "plan_accuracy": 0.5, "argument_f1": 0.2} for line in LINES]
    assert list_numbers(more) == ["loss", "grad_norm", "learning_rate", "plan_accuracy", "argument_f1"]
    assert size(more)[0] == width
    assert size(more)[1] > height


@pytest.mark.parametrize(
    "lines",
    [
        [{"step": 1, "loss": 2.0}],
        [{"step": 1, "validation_loss": 2.0}],
        [{"step": 1}],
        [{"step": 1, "loss": 0.0}, {"step": 2, "loss": float("nan")}, {"step": 3, "loss": None}],
        LINES[:2],
    ],
)
def test_a_history_may_be_short_or_partly_measured(lines):
    size(lines)


def test_the_validation_loss_is_drawn():
    with_validation = draw_numbers([*LINES, {"step": 9, "validation_loss": 9.0}], ["loss"])
    assert to_png(with_validation) != to_png(draw_numbers(LINES, ["loss"]))


def test_a_line_that_is_still_being_written_is_left_out(tmp_path):
    write(tmp_path, "backbone", LINES[:3])
    with (tmp_path / "history" / "backbone.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    assert [line["step"] for line in read_history(tmp_path / "history" / "backbone.jsonl")] == [1, 2, 3]


def test_a_report_is_whole_files_made_now_and_then(tmp_path):
    report = RunReport(tmp_path, every_s=3600)
    write(tmp_path, "backbone", LINES)
    assert report.update([STAGE])
    before = (tmp_path / "curves" / "backbone.png").read_bytes()
    write(tmp_path, "backbone", [*LINES, {"step": 10, "loss": 5.0}])
    assert not report.update([STAGE])
    assert (tmp_path / "curves" / "backbone.png").read_bytes() == before
    assert report.update([STAGE], force=True)
    assert (tmp_path / "curves" / "backbone.png").read_bytes() != before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves", "history", "report.html"]
    assert [path.name for path in (tmp_path / "curves").iterdir()] == ["backbone.png"]


def test_a_stage_that_has_not_changed_is_not_drawn_again_and_stays_in_the_page(tmp_path):
    report = RunReport(tmp_path)
    write(tmp_path, "backbone", LINES)
    report.update()
    picture = tmp_path / "curves" / "backbone.png"
    picture.unlink()
    write(tmp_path, "planner", LINES)
    report.update(force=True)
    assert not picture.exists()
    assert (tmp_path / "curves" / "planner.png").exists()
    assert Page((tmp_path / "report.html").read_text()).elements.count("figure") == 6


def test_the_page_loads_nothing_and_says_what_was_saved(tmp_path):
    write(tmp_path, "backbone", LINES)
    RunReport(tmp_path).update([STAGE])
    page = Page((tmp_path / "report.html").read_text())
    check_safe(page, figures=True)
    assert "backbone100,0002.40x8.00x" in page.text
    assert "backbone9 steps, loss" in page.text


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "$\\frac{$"])
def test_names_in_the_report_are_text(tmp_path, name):
    write(tmp_path, "x", [{**line, name: 2.0} for line in LINES])
    RunReport(tmp_path).update([STAGE])
    page = Page((tmp_path / "report.html").read_text())
    check_safe(page, figures=True)
    assert name in page.text
    assert name in Page(training_page(name, [], [STAGE])).text


def test_the_losses_of_a_run_are_a_section_of_another_page(tmp_path):
    write(tmp_path, "planner", LINES)
    write(tmp_path, "backbone", [*LINES, {"step": 9, "loss": float("nan"), "validation_loss": 0.5}])
    write(tmp_path, "caller", [{"step": 1, "loss": float("inf")}])
    section = training_section(tmp_path)
    [body] = section.body
    page = Page(str(body))
    assert page.elements.count("svg") == page.elements.count("figure") == 2
    assert page.text.index("backbone") < page.text.index("planner")
    assert "held out 0.5000" in page.text


def test_a_run_without_a_history_has_no_such_section(tmp_path):
    assert training_section(tmp_path) is None


def test_a_figure_follows_the_colours_of_its_page(tmp_path):
    write(tmp_path, "backbone", LINES)
    [body] = training_section(tmp_path).body
    assert "var(--planner)" in body
    assert "#" not in body.replace("url(#", "")


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=50))
def test_a_smoothed_series_stays_within_the_series_and_does_not_know_its_direction(values):
    smooth = smoothed(values)
    assert all(min(values) - 1e-9 <= value <= max(values) + 1e-9 for value in smooth)
    assert smooth == pytest.approx(smoothed(values[::-1])[::-1])


def test_without_the_drawing_library_the_numbers_stand_and_the_page_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "unavailable_reason", lambda: "Figures need matplotlib.")
    write(tmp_path, "backbone", LINES)
    assert RunReport(tmp_path).update([STAGE])
    text = Page((tmp_path / "report.html").read_text()).text
    assert "100,000" in text
    assert "Figures need matplotlib." in text
    assert training_section(tmp_path).note == "Figures need matplotlib."
    assert not (tmp_path / "curves").exists()


def test_before_anything_is_measured_there_is_a_page(tmp_path):
    assert RunReport(tmp_path).update()
    assert "Nothing is measured yet" in (tmp_path / "report.html").read_text()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    write(tmp_path, "backbone", LINES)
    (tmp_path / "curves").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match=r"backbone\.png: cannot be written"):
        RunReport(tmp_path).update()

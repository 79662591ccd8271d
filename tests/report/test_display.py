"""Progress and tables on terminals and where there is none."""

import io

import pytest
from rich.console import Console

from alpha_umi.display import ProgressLines, print_table, progress


@pytest.fixture
def clock():
    class Clock:
        now = 100.0

        def __call__(self):
            return self.now

    return Clock()


def lines_with(clock):
    written = []
    return written, ProgressLines(written.append, "steps", clock=clock)


def test_long_work_writes_a_line_every_ten_seconds_and_one_at_its_end(clock):
    written, lines = lines_with(clock)
    for done in range(61):
        clock.now = 100.0 + done
        lines.update("backbone", done, 60, f"loss {done}")
    assert len(written) == 6
    assert written[0] == "backbone: 10 of 60 steps, loss 10, 0:00:50 remaining"
    assert written[-1] == "backbone: 60 of 60 steps, loss 60, 0:01:00 elapsed"


def test_short_work_writes_nothing(clock):
    written, lines = lines_with(clock)
    for done in range(61):
        clock.now += 0.1
        lines.update("predicting", done, 60)
    assert not written


def test_work_that_goes_on_is_estimated_by_what_was_done_now(clock):
    written, lines = lines_with(clock)
    lines.update("predicting", 900, 1000)
    clock.now += 10
    lines.update("predicting", 910, 1000)
    assert written == ["predicting: 910 of 1,000 steps, 0:01:30 remaining"]


def test_parts_beside_each_other_have_lines_of_their_own(clock):
    written, lines = lines_with(clock)
    for done in (0, 1):
        lines.update("one", done, 4)
        lines.update("two", done, 8)
        clock.now += 10
    lines.update("two", 2, 8)
    assert [line.partition(":")[0] for line in written] == ["one", "two", "two"]


def test_where_there_is_no_terminal_progress_has_no_escape_codes():
    file = io.StringIO()
    with progress(Console(file=file, width=20)) as display:
        display.update("a", 0, 2)
        display.update("a", 2, 2)
    assert file.getvalue() == ""


def test_a_terminal_sees_bars_and_quiet_work_shows_nothing():
    shown = []
    for quiet in (False, True):
        file = io.StringIO()
        with progress(Console(file=file, force_terminal=True, width=120), quiet=quiet) as display:
            display.update("predicting [x]", 1, 2, "3 passed")
            display.remove("unknown")
        shown.append(file.getvalue())
    assert "predicting [x]" in shown[0]
    assert "3 passed" in shown[0]
    assert shown[1] == ""


def test_no_cell_is_cut_in_a_narrow_terminal():
    file = io.StringIO()
    rows = [["G1_instruction", "90.0"], ["G3_instruction\x1b[2J", "1.0"]]
    print_table(Console(file=file, width=20), "title", ["set", "passed"], rows)
    assert file.getvalue().splitlines() == [
        "",
        "title",
        "set                 passed",
        "G1_instruction        90.0",
        "G3_instruction�[2J     1.0",
    ]

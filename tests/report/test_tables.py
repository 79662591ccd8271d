"""Text tables, as Markdown and plain."""

import pytest

from alpha_umi.report.tables import markdown_table, plain_table

ROWS = [["plan accuracy", "96.2", "a"], ["F1", "100.0", "bb"]]


def test_a_markdown_table_is_aligned_in_its_source_too():
    assert markdown_table(["metric", "%", "note"], ROWS, left=(0, 2)).splitlines() == [
        "| metric        |     % | note |",
        "|---------------|------:|------|",
        "| plan accuracy |  96.2 | a    |",
        "| F1            | 100.0 | bb   |",
    ]


def test_a_cell_of_a_markdown_table_stays_one_cell():
    line = markdown_table(["a", "b"], [["x|y", "z"]]).splitlines()[-1]
    assert line == r"| x\|y |   z |"


def test_a_plain_table_has_its_first_column_to_the_left():
    assert plain_table(["metric", "%", "note"], ROWS).splitlines() == [
        "metric             %  note",
        "plan accuracy   96.2     a",
        "F1             100.0    bb",
    ]


@pytest.mark.parametrize("table", [markdown_table, plain_table])
def test_a_table_may_have_no_rows(table):
    assert "metric" in table(["metric", "%"], [])

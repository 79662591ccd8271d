"""Descriptions of a tool's parameters, read from docstrings of every style."""

import inspect
from typing import Annotated

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from alpha_umi.environments.docstrings import read_docstring
from alpha_umi.environments.python import as_tool
from support.examples import examples


def properties(value):
    return as_tool(value).spec.parameters["properties"]


STYLES = {
    "google": """Weather of a
        city.

        More words.

        Args:
            city (str): name
                of a city
            days: how far: ahead

        Returns:
            text: a table
        """,
    "numpy": """Weather of a
        city.

        More words.

        Parameters
        ----------
        city : str
            name
            of a city
        days : int, optional
            how far: ahead

        Returns
        -------
        text : str
            a table
        """,
    "sphinx": """Weather of a
        city.

        :param city: name
            of a city
        :type city: str
        :param int days: how far: ahead
        :returns: a table
        """,
}


@pytest.mark.parametrize("style", STYLES)
def test_parameters_are_described_in_every_style(style):
    summary, entries = read_docstring(inspect.cleandoc(STYLES[style]))
    assert summary == "Weather of a city."
    assert entries == {"city": "name of a city", "days": "how far: ahead"}


@pytest.mark.parametrize(
    "text",
    [
        "Sum.\n\nArgs:\n    a: First\n        one.\n\nWorks for all.\nNotes: hi\n",
        "Sum.\n\nParameters\n----------\na : int\n    First\n    one.\n\nWorks for all numbers.\nNotes: hi\n",
        "Sum.\n\n:param a: First\n    one.\n\nWorks for all.\nNotes: hi\n",
        "Sum.\n\n:param a: First\n    one.\nWorks for all.\n",
    ],
)
def test_words_after_the_parameters_describe_none_of_them(text):
    assert read_docstring(text) == ("Sum.", {"a": "First one."})


def test_numpy_names_may_share_a_description_and_a_note_may_stand_in_the_hint():
    def move(x: int, y: int, z: Annotated[int, "height"], w: Annotated[int, Field(description="time")] = 0):
        """Move.

        Parameters
        ----------
        x, y : int
            where to
        """

    assert {name: value["description"] for name, value in properties(move).items()} == {
        "x": "where to", "y": "where to", "z": "height", "w": "time",
    }  # fmt: skip


@given(st.text(alphabet="ab :\n-,*()Args Parameters:param ", max_size=80))
@settings(max_examples=examples(200), deadline=None)
def test_every_docstring_can_be_read(text):
    summary, entries = read_docstring(text)
    assert "\n" not in summary
    assert all(name and words and "\n" not in words for name, words in entries.items())

"""What tools say of the values that their arguments take."""

import pytest

from alpha_umi.grounding.descriptions import (
    by_units,
    described,
    named_examples,
    of_share,
    shows_code,
    with_shared_descriptions,
)
from alpha_umi.grounding.mentions import read_mentions
from alpha_umi.types import ToolSpec


@pytest.mark.parametrize(
    ("described", "said", "examples"),
    [
        ("The aroma, such as 'fruity', 'hoppy'.", "a hoppy lager", ["hoppy"]),
        ("Type of artwork. E.g., painting, sculpture, installation", "famous sculptures", ["sculpture"]),
        ("'add' to add a task, 'delete' to remove one", "delete the milk", ["delete"]),
        ("The city, e.g. Paris", "the hotels of Lyon", []),
        ("The state of the lamp", "the lamp", []),
        ("The city, e.g. Boston, MA", "a park in Boston", []),
        ("Root of the scale, e.g., 'C', 'F#'", "the scale of F# major", ["F#"]),
        ("Root of the scale, e.g., 'C', 'F#'", "the scale of C# major", []),
    ],
)
def test_examples_that_were_named(described, said, examples):
    assert named_examples(described, said) == examples


def test_a_percentage_and_a_share():
    (mention,) = read_mentions("at 5%")
    assert of_share(mention, "rate: as a decimal, e.g. 0.05") == (0.05,)
    assert of_share(mention, "brightness in percent") == (5.0,)
    assert of_share(mention, "rate") == (5.0, 0.05)


def test_numbers_belong_to_the_argument_with_their_unit():
    mentions = read_mentions("the prices in 5 years with 30 trees, 9 times, a 500 investment at 7 miles per hour")
    told = {
        "period": "In years.",
        "n_trees": "",
        "amount": "Of the investment.",
        "tries": "How many times.",
        "speed": "In miles per hour",
    }
    found = by_units({name: (name, text) for name, text in told.items()}, mentions)
    assert {name: [each.text for each in own] for name, own in found.items()} == {"period": ["5"], "n_trees": ["30"]}


def test_an_argument_may_be_described_by_another_tool():
    described_, bare, other = (
        ToolSpec(name=name, parameters={"type": "object", "properties": {"bed": about}})
        for name, about in (
            ("record", {"type": "string", "description": "Bed, like A1."}),
            ("vitals", {"type": "string"}),
            ("make", {"type": "integer"}),
        )
    )
    shared = with_shared_descriptions((described_, bare, other))
    assert [described(tool, "bed") for tool in shared] == ["Bed, like A1.", "Bed, like A1.", ""]


@pytest.mark.parametrize(
    ("text", "shown"),
    [("Bed, like A1.", True), ("such as 'AT-204'", True), ("a name like Anna", False), ("like 5", False)],
)
def test_an_example_may_show_a_code(text, shown):
    assert shows_code(text) is shown

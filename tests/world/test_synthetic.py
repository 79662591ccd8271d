"""Synthetic providers: in training alone, worded in many ways, and never as a tool that is held out."""

from collections import defaultdict

import pytest

from alpha_umi.world import Seen
from alpha_umi.world.random_streams import RandomStream
from alpha_umi.world.table.configs import SMALL
from alpha_umi.world.table.synthetic import SyntheticProviders
from alpha_umi.world.table.wording import normalized_words
from support.table_tasks import NAMES_OF_PRESETS, SETS, catalogue, problems


@pytest.fixture(params=NAMES_OF_PRESETS)
def preset(request):
    return request.param


def synthetic(preset, count):
    """Tools of training tasks that the catalogue does not hold."""
    known = catalogue(preset).tools
    made = problems(preset, count, ["train"])
    return [tool for each in made for name, tool in each.catalogue.tools.items() if name not in known]


def test_synthetic_providers_stand_in_training_alone(preset):
    known = catalogue(preset).tools
    assert all(
        known[name] is tool for made in problems(preset, 80, SETS) for name, tool in made.catalogue.tools.items()
    )
    among = [set(made.catalogue.tools) <= set(known) for made in problems(preset, 200, ["train"])]
    assert 0.15 < sum(among) / len(among) < 0.45
    assert all(tool.seen is Seen.YES for tool in synthetic(preset, 200))


def test_no_document_of_a_held_out_tool_is_drawn(preset):
    held_out = [tool for tool in catalogue(preset).tools.values() if tool.seen is not Seen.YES]
    documents = {normalized_words(tool.document.entry["description"]) for tool in held_out}
    names = {tool.spec.name for tool in held_out}
    for tool in synthetic(preset, 700):
        assert normalized_words(tool.document.entry["description"]) not in documents
        assert tool.spec.name not in names


def test_the_documents_of_held_out_tools_are_banned_by_name():
    toolset = SMALL.toolset
    tool = next(tool for tool in toolset.catalogue.tools.values() if tool.spec.name == "conditions_for_skycast")
    free = [
        SyntheticProviders(toolset.categories, frozenset(), RandomStream("banned", n)).replace_tool(tool)
        for n in range(60)
    ]
    told = {made.document.entry["description"] for made in free}
    held_out_documents = frozenset(map(normalized_words, sorted(told)[::2]))
    again = [
        SyntheticProviders(toolset.categories, held_out_documents, RandomStream("banned", n)).replace_tool(tool)
        for n in range(60)
    ]
    assert held_out_documents.isdisjoint(normalized_words(made.document.entry["description"]) for made in again)


def test_synthetic_providers_are_worded_in_many_ways(preset):
    documents, keys = defaultdict(set), defaultdict(set)
    for tool in synthetic(preset, 700):
        documents[tool.need].add(tool.document.entry["description"])
        keys[tool.need].add((*tool.arguments.values(), *tool.results.values()))
    seen = {tool.need for tool in catalogue(preset).tools.values() if tool.seen is Seen.YES}
    assert set(documents) == seen
    assert min(map(len, documents.values())) > 15
    assert min(map(len, keys.values())) > 10


def test_a_synthetic_tool_is_documented_as_its_tool_json_says(preset):
    for tool in synthetic(preset, 100):
        entry = tool.document.entry
        assert entry["name"] not in entry["description"], "ToolBench's rules would put the whole name there"
        assert set(tool.arguments) == set(tool.served_need.inputs)
        assert set(tool.results) == set(tool.served_need.outputs)
        assert len(set(tool.results.values())) == len(tool.results)

"""The pages of a world: what a base model reads."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_umi.errors import ConfigError
from alpha_umi.world import World
from alpha_umi.world.table import wording
from alpha_umi.world.tools import Seen
from support.table_tasks import WORLDS, catalogue

INDICES = st.integers(0, 10**6)


@given(index=INDICES)
def test_a_page_is_a_function_of_preset_seed_and_index(index):
    page = WORLDS["small"].pages[index]
    assert page == World("small").pages[index]
    assert page.strip()
    others = {World("small", seed).pages[index] for seed in (1, 2, 3)} | {WORLDS["full"].pages[index]}
    assert others != {page}


@pytest.mark.parametrize("preset", ["small", "full"])
def test_pages_tell_nothing_of_what_is_held_out(preset):
    text = "\n".join(WORLDS[preset].pages[index] for index in range(1500))
    words = set(re.findall(r"\w+", text))
    tools = catalogue(preset).tools.values()
    assert words & {tool.spec.name for tool in tools if tool.seen is Seen.YES}
    assert not words & {tool.spec.name for tool in tools if tool.seen is not Seen.YES}
    assert not words & {tool.provider.lower() for tool in tools if tool.seen is not Seen.YES}


@pytest.mark.parametrize("preset", ["small", "full"])
def test_pages_word_no_test_query(preset):
    text = "\n".join(WORLDS[preset].pages[index] for index in range(1500))
    frames = [frame.split("{x}") for frame in wording.load_frames(train=False).patterns]
    assert not [before for before, _ in frames if before in text]
    kept = [question for need in catalogue(preset).needs.values() for template in need.templates
            for question in wording.questions(template, train=False)]  # fmt: skip
    patterns = [re.sub(r"\\\{\w+\\\}", r"[^\\n?]+", re.escape(question)) for question in kept]
    assert patterns
    assert not [pattern for pattern in patterns if re.search(pattern, text)]


def test_the_tiny_world_has_no_pages():
    with pytest.raises(ConfigError, match="small or full"):
        _ = World("tiny").pages

"""The examples of one's own tools, environment and format: they are short, they run, and they keep the laws."""

import asyncio
import importlib
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_umi.config import EnvironmentConfig
from alpha_umi.datasets.queries import Query
from alpha_umi.loading.environments import open_environment
from alpha_umi.loading.formats import open_format, open_stored_format
from alpha_umi.protocols import Environment, Format
from alpha_umi.roles import FORMAT_ROLES
from alpha_umi.types import Call, Role, Task, ToolStatus
from support.folders import REPOSITORY
from support.strategies import answers, calls, plans, tasks, texts, turns

EXAMPLES = REPOSITORY / "examples"
NAMES = ("own_tools", "own_environment", "own_format")
LONGEST = 80
WRITTEN = {
    Role.PLANNER: st.tuples(plans),
    Role.CALLER: st.tuples(calls),
    Role.SUMMARIZER: st.tuples(answers),
    Role.BACKBONE: st.tuples(plans, calls | answers),
}


@pytest.fixture(autouse=True)
def on_the_path(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    yield
    for name in NAMES:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_short(name):
    assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) <= LONGEST


def test_tools_take_and_return_dates_enums_and_dataclasses(capsys):
    importlib.import_module("own_tools").main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[:-1]] == ["price", "book_court"]
    booked = json.loads(lines[-1].removeprefix("Booked: "))
    assert booked == {"sport": "squash", "day": "2026-06-05", "weekday": "Friday", "hour": 18, "players": 2}


def test_an_environment_is_used_by_name_and_its_forks_do_not_touch_each_other(capsys):
    importlib.import_module("own_environment").main()
    assert capsys.readouterr().out == "Here they are; 4 egg left.\n"

    async def use():
        async with open_environment(EnvironmentConfig(code="own_environment:Pantry")) as loaded:
            pantry = loaded.open(Query(task=Task(id="1", query="q")))
            assert isinstance(pantry, Environment)
            seen = [
                await place.execute(Call(name=name, arguments=arguments))
                for place, name, arguments in (
                    (pantry.fork(), "take", '{"item": "egg", "count": 6}'),
                    (pantry, "take", '{"item": "egg", "count": 6}'),
                    (pantry, "take", '{"item": "egg"}'),
                    (pantry, "take", '{"count": 1}'),
                    (pantry, "give", "{}"),
                )
            ]
            return [each.status for each in seen]

    ok, error = ToolStatus.OK, ToolStatus.ERROR
    assert asyncio.run(use()) == [ok, ok, error, ToolStatus.BAD_ARGUMENTS, ToolStatus.UNKNOWN_TOOL]


def test_a_format_runs_and_can_be_kept_with_a_trained_agent(capsys):
    importlib.import_module("own_format").main()
    lines = capsys.readouterr().out.rstrip().splitlines()
    assert (lines[0], lines[-1]) == ("It is 5.", "summarizer:")
    assert isinstance(open_stored_format("own_format:JsonLines"), Format)


@given(data=st.data(), role=st.sampled_from(FORMAT_ROLES), text=texts, task=tasks, history=st.lists(turns, max_size=3))
def test_a_format_reads_what_it_writes_and_any_other_text(data, role, text, task, history):
    form = open_format("own_format:JsonLines")
    written = data.draw(WRITTEN[role])
    assert form.parse(role, form.write(role, written)) == written
    assert "".join(span for span, _ in form.spans(role, written)) == form.write(role, written)
    assert form.parse(role, text)
    assert form.render(role, task, tuple(history)).endswith(f"{role.value}:\n")

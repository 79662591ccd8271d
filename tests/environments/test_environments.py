"""One contract for every environment, and what is special to each."""

import asyncio
import contextvars
import dataclasses
import enum
import json
import threading
import time
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import alpha_umi
from alpha_umi.environments.budgets import Budget, BudgetedEnvironment
from alpha_umi.environments.composite import CompositeEnvironment
from alpha_umi.environments.python import PythonEnvironment, load_tools, tool
from alpha_umi.environments.recording import RecordedEnvironment, Recording, RecordingEnvironment
from alpha_umi.environments.replay import ReplayEnvironment
from alpha_umi.environments.world import WorldEnvironment
from alpha_umi.errors import ConfigError, DataError
from alpha_umi.protocols import Environment
from alpha_umi.types import Call, Observation, Task, ToolStatus
from alpha_umi.world import World
from support.examples import examples


def run(environment, name, arguments="{}"):
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return asyncio.run(environment.execute(Call(name=name, arguments=text)))


class Unit(enum.Enum):
    CELSIUS = "C"
    FAHRENHEIT = "F"


@tool
def weather(city: str, days: int = 1, unit: Unit = Unit.CELSIUS) -> dict:
    """Weather of a city,
    told simply.

    More words that no model needs.

    Args:
        city: name of a city
            as people write it
        days (int): how far ahead
        unit: C or F

    Returns:
        A table.
    """
    return {"city": city, "days": days, "unit": unit.name}


@tool(name="slow_tool")
async def slow(seconds: float) -> str:
    """Waits."""
    await asyncio.sleep(seconds)
    return "done"


RELEASED = threading.Event()


@tool
def stuck() -> None:
    """Never comes back in time."""
    RELEASED.wait(60)


@tool
def broken(kind: Literal["value", "exit", "result", "stop"]) -> Any:
    """Fails."""
    match kind:
        case "value":
            raise ValueError("no such thing")
        case "exit":
            raise SystemExit(3)
        case "stop":
            raise StopIteration
        case "result":
            return object()


WORLD = World("tiny", seed=0)
TASK = next(task for task in (WORLD.task("train", index) for index in range(99)) if task.metadata["kind"] == "flight")
GOLD = WORLD.gold(TASK)
CALLS = [turn for turn in GOLD.turns if isinstance(turn, Call)]
TRUTHS = [turn for turn in GOLD.turns if isinstance(turn, Observation)]

RECORDING = Recording()
for call, truth in zip(CALLS, TRUTHS, strict=True):
    RECORDING.add(call, truth)

ENVIRONMENTS = {
    "world": lambda: WorldEnvironment(WORLD, TASK),
    "python": lambda: PythonEnvironment([weather, slow, stuck, broken]),
    "replay": lambda: ReplayEnvironment(GOLD),
    "recorded": lambda: RecordedEnvironment(TASK.tools, RECORDING),
    "recording": lambda: RecordingEnvironment(WorldEnvironment(WORLD, TASK), Recording()),
    "budgeted": lambda: BudgetedEnvironment(WorldEnvironment(WORLD, TASK), Budget(max_chars=40)),
    "composite": lambda: CompositeEnvironment([WorldEnvironment(WORLD, TASK), PythonEnvironment([weather])]),
}
GOOD_CALLS = {
    "world": CALLS[0],
    "python": Call(name="weather", arguments='{"city": "Lima"}'),
    "replay": CALLS[0],
    **dict.fromkeys(("recorded", "recording", "budgeted", "composite"), CALLS[0]),
}


@pytest.fixture(params=list(ENVIRONMENTS))
def kind(request):
    return request.param


@pytest.fixture
def environment(kind):
    return ENVIRONMENTS[kind]()


# --- the contract -----------------------------------------------------------------------------------------


def test_it_is_an_environment_and_names_its_tools(environment):
    assert isinstance(environment, Environment)
    assert environment.tools
    assert len({spec.name for spec in environment.tools}) == len(environment.tools)


def test_a_good_call_is_answered(environment, kind):
    seen = asyncio.run(environment.execute(GOOD_CALLS[kind]))
    assert seen.status is ToolStatus.OK
    assert json.loads(seen.content)


def test_a_call_to_an_unknown_tool_is_an_observation(environment):
    for name in ("nope", "weather "):
        seen = run(environment, name)
        assert seen.status is ToolStatus.UNKNOWN_TOOL
        assert f"'{name}'" in seen.content


def test_a_reply_whose_call_could_not_be_read_is_described_as_such(environment):
    seen = run(environment, "")
    assert seen.status is ToolStatus.UNKNOWN_TOOL
    assert "no tool call could be read" in seen.content


def test_the_calls_of_a_fork_do_not_touch_its_parent(environment, kind):
    expected = asyncio.run(ENVIRONMENTS[kind]().execute(GOOD_CALLS[kind]))
    fork = environment.fork()
    assert asyncio.run(fork.execute(GOOD_CALLS[kind])) == expected
    assert asyncio.run(environment.fork().execute(GOOD_CALLS[kind])) == expected
    assert asyncio.run(environment.execute(GOOD_CALLS[kind])) == expected
    assert fork.tools == environment.tools


@given(name=st.text(max_size=5), arguments=st.text())
@settings(max_examples=examples(25), deadline=None)
@pytest.mark.parametrize("kind", list(ENVIRONMENTS))
def test_no_text_makes_it_raise(kind, name, arguments):
    environment = ENVIRONMENTS[kind]()
    run(environment, name, arguments)
    run(environment, GOOD_CALLS[kind].name, arguments)


@pytest.mark.parametrize("kind", ["world", "python"])
@pytest.mark.parametrize("arguments", ["", "{", "[]", "null", '"Lima"', '{"city": NaN}', "[" * 100_000, "1" * 5000])
def test_arguments_that_are_no_json_object_are_refused(kind, arguments):
    seen = run(ENVIRONMENTS[kind](), GOOD_CALLS[kind].name, arguments)
    assert seen.status is ToolStatus.BAD_ARGUMENTS
    assert "JSON" in seen.content


@pytest.mark.parametrize("kind", ["world", "python"])
def test_missing_unknown_and_mistyped_arguments_are_named(kind):
    environment, good = ENVIRONMENTS[kind](), GOOD_CALLS[kind]
    name = next(iter(json.loads(good.arguments)))
    for arguments in ({}, {name: 7}, {name: None}, {name: ["Lima"]}):
        seen = run(environment, good.name, arguments)
        assert seen.status is ToolStatus.BAD_ARGUMENTS
        assert f"'{name}'" in seen.content
    seen = run(environment, good.name, {**json.loads(good.arguments), "extra": 1})
    assert seen.status is ToolStatus.BAD_ARGUMENTS
    assert "'extra'" in seen.content


# --- the world --------------------------------------------------------------------------------------------


def test_only_the_tools_of_the_task_can_be_called():
    environment = ENVIRONMENTS["world"]()
    left_out = [spec.name for spec in WORLD.tools if spec not in TASK.tools]
    assert left_out
    assert all(run(environment, name).status is ToolStatus.UNKNOWN_TOOL for name in left_out)


def test_the_tools_of_a_task_answer_as_they_did_in_its_gold_trajectory():
    environment = ENVIRONMENTS["world"]()
    assert [asyncio.run(environment.execute(call)) for call in CALLS] == TRUTHS


def test_a_task_of_another_world_is_refused_at_once():
    with pytest.raises(DataError, match="made by"):
        WorldEnvironment(World("tiny", seed=1), TASK)


# --- Python functions -------------------------------------------------------------------------------------


def test_enum_arguments_arrive_as_members():
    seen = run(PythonEnvironment([weather]), "weather", {"city": "Lima", "unit": "F"})
    assert json.loads(seen.content) == {"city": "Lima", "days": 1, "unit": "FAHRENHEIT"}


def test_a_spec_is_read_from_hints_and_docstring():
    spec = weather.spec
    assert (spec.name, spec.description) == ("weather", "Weather of a city, told simply.")
    assert spec.parameters == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "name of a city as people write it"},
            "days": {"type": "integer", "default": 1, "description": "how far ahead"},
            "unit": {"type": "string", "enum": ["C", "F"], "description": "C or F", "default": "C"},
        },
        "required": ["city"],
    }
    assert slow.spec.name == "slow_tool"
    assert weather("Lima")["city"] == "Lima"


@dataclasses.dataclass
class Point:
    x: int
    y: float


@tool
def everything(
    number: int,
    real: float,
    flag: bool,
    names: list[str],
    table: dict[str, int],
    choice: Literal["a", 2] | None,
    either: int | list[Unit],
    noted: Annotated[str, "a note"] = "",
    *,
    anything=None,
) -> Any:
    """All types."""
    return {
        "types": [type(value).__name__ for value in (number, real, flag, names, table, choice, either, noted)],
        "either": [unit.name for unit in either] if isinstance(either, list) else either,
        "point": Point(number, real),
        "set": {3, 1},
    }


def test_values_arrive_as_the_hinted_types_and_results_leave_as_json():
    arguments = {
        "number": 2.0, "real": 3, "flag": True, "names": ["é"], "table": {"a": 1}, "choice": 2, "either": ["F"],
        "anything": [{"x": None}],
    }  # fmt: skip
    seen = run(PythonEnvironment([everything]), "everything", arguments)
    assert seen.status is ToolStatus.OK, seen
    assert json.loads(seen.content) == {
        "types": ["int", "float", "bool", "list", "dict", "int", "list", "str"],
        "either": ["FAHRENHEIT"],
        "point": {"x": 2, "y": 3.0},
        "set": [1, 3],
    }
    assert everything.spec.parameters["properties"]["noted"]["description"] == "a note"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"number": 1.5}, "'number' must be an integer"),
        ({"number": True}, "'number' must be an integer"),
        ({"flag": 1}, "'flag' must be true or false"),
        ({"names": ["a", 1]}, "'names[1]' must be a string"),
        ({"table": {"a": "b"}}, "'table.a' must be an integer"),
        ({"choice": "b"}, "'choice'"),
        ({"either": ["K"]}, "'either[0]' must be C or F"),
    ],
)
def test_nested_faults_are_named_by_their_path(change, words):
    arguments = {"number": 1, "real": 1, "flag": True, "names": [], "table": {}, "choice": None, "either": 1}
    environment = PythonEnvironment([everything])
    assert run(environment, "everything", arguments).status is ToolStatus.OK
    seen = run(environment, "everything", arguments | change)
    assert seen.status is ToolStatus.BAD_ARGUMENTS
    assert words in seen.content


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("value", "ValueError: no such thing"),
        ("exit", "RuntimeError: SystemExit: 3"),
        ("stop", "RuntimeError: StopIteration: "),
        ("result", "TypeError: a result of type object cannot be written as JSON"),
    ],
)
def test_what_a_tool_raises_is_an_observation(kind, content):
    seen = run(PythonEnvironment([broken]), "broken", {"kind": kind})
    assert seen == Observation(content=content, status=ToolStatus.ERROR)


@pytest.mark.parametrize(("name", "arguments"), [("slow_tool", {"seconds": 60}), ("stuck", {})])
def test_a_tool_that_takes_too_long_times_out_sync_or_async(name, arguments):
    RELEASED.clear()
    started = time.monotonic()
    seen = run(PythonEnvironment([slow, stuck], timeout_s=0.05), name, arguments)
    assert time.monotonic() - started < 50
    RELEASED.set()
    assert seen.status is ToolStatus.TIMEOUT
    assert "0.05 s" in seen.content


def test_sync_tools_run_beside_each_other():
    async def both():
        environment = PythonEnvironment([stuck_briefly])
        call = Call(name="stuck_briefly", arguments="{}")
        return await asyncio.gather(*(environment.execute(call) for _ in range(8)))

    @tool
    def stuck_briefly() -> str:
        together.wait(60)  # only if all eight are here at once
        return token.get()

    together = threading.Barrier(8)
    token = contextvars.ContextVar("token", default="unset")
    token.set("from the caller")
    assert {seen.content for seen in asyncio.run(both())} == {"from the caller"}


def test_a_cancelled_search_cancels_the_tool_it_awaits():
    async def cancelled():
        running = asyncio.create_task(slow.function(60))
        await asyncio.sleep(0)
        execution = asyncio.create_task(
            PythonEnvironment([slow]).execute(Call(name="slow_tool", arguments='{"seconds": 60}'))
        )
        await asyncio.sleep(0.01)
        execution.cancel()
        running.cancel()
        return await asyncio.gather(execution, running, return_exceptions=True)

    assert all(isinstance(result, asyncio.CancelledError) for result in asyncio.run(cancelled()))


def test_functions_that_json_cannot_call_are_refused_when_they_are_made():
    def many(*names: str): ...
    def odd(value: threading.Event): ...
    def lost(value: "Missing"): ...  # noqa: F821

    for function, words in ((many, "'names'"), (odd, "'value'"), (lost, "Missing")):
        with pytest.raises(ConfigError, match=words):
            tool(function)
    with pytest.raises(ConfigError, match="'weather'"):
        PythonEnvironment([weather, weather])


def test_tool_is_found_at_the_top_of_the_package():
    assert alpha_umi.tool is tool
    with pytest.raises(AttributeError, match="nothing"):
        _ = alpha_umi.nothing


# --- tool files -------------------------------------------------------------------------------------------

TOOL_FILE = '''
from __future__ import annotations
from dataclasses import dataclass
from alpha_umi import tool
from numbers_beside import SEVEN

@dataclass
class Pair:
    left: int

@tool
def second(x: int | None = None) -> int:
    """Seven."""
    return SEVEN

@tool
async def first(word: str) -> str:
    """Echo.

    Args:
        word: what to say
    """
    return word

again = first
'''


def test_tools_are_loaded_from_a_file_with_its_neighbours(tmp_path):
    (tmp_path / "numbers_beside.py").write_text("SEVEN = 7\n")
    (tmp_path / "my_tools.py").write_text(TOOL_FILE)
    environment = PythonEnvironment(load_tools(tmp_path / "my_tools.py"))
    assert [spec.name for spec in environment.tools] == ["second", "first"]
    assert run(environment, "second").content == "7"
    assert run(environment, "first", {"word": "hello"}).content == "hello"


@pytest.mark.parametrize(
    ("name", "text", "kind", "words"),
    [
        ("absent.py", None, DataError, "absent.py: no such file"),
        ("empty.py", "x = 1\n", DataError, "empty.py: holds no tools; put @tool"),
        ("plain.py", "def f(x: int):\n    return x\n", DataError, "plain.py: holds no tools; put @tool"),
        ("notes.txt", "hello\n", DataError, "notes.txt: is not a Python file"),
        ("syntax.py", "def f(:\n", ConfigError, "syntax.py:1: cannot be imported"),
        ("raises.py", "\n1 / 0\n", ConfigError, "raises.py:2: cannot be imported: ZeroDivisionError"),
        ("exits.py", "raise SystemExit(2)\n", ConfigError, "exits.py:1: cannot be imported: SystemExit"),
        ("needs.py", "import not_there\n", ConfigError, "needs.py:1: cannot be imported: .*'not_there'"),
        ("below.py", "from json import loads\n\nloads('{')\n", ConfigError, "below.py:3: cannot be imported"),
        (
            "stars.py",
            "from alpha_umi import tool\n\n@tool\ndef f(*words: str): ...\n",
            ConfigError,
            r"stars.py:3: tool f, parameter 'words' takes any number",
        ),
        (
            "twice.py",
            'from alpha_umi import tool\n@tool\ndef f(): ...\n@tool(name="f")\ndef g(): ...\n',
            ConfigError,
            r"twice.py: two tools are called 'f': f \(twice.py:2\) and g \(twice.py:4\); rename one",
        ),
    ],
)
def test_a_tool_file_that_cannot_be_used_is_a_clear_error(tmp_path, name, text, kind, words):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(kind, match=words):
        load_tools(tmp_path / name)


# --- replay -----------------------------------------------------------------------------------------------


def test_a_replay_gives_the_recorded_observations_in_order_and_then_ends():
    environment = ENVIRONMENTS["replay"]()
    assert [asyncio.run(environment.execute(call)) for call in CALLS] == TRUTHS
    over = asyncio.run(environment.execute(CALLS[-1]))
    assert over.status is ToolStatus.ERROR
    assert "no further call" in over.content


def test_a_call_of_another_tool_takes_nothing_from_the_recording():
    environment = ENVIRONMENTS["replay"]()
    other = next(spec.name for spec in TASK.tools if spec.name != CALLS[0].name)
    seen = run(environment, other)
    assert seen.status is ToolStatus.ERROR
    assert CALLS[0].name in seen.content
    assert run(environment, CALLS[0].name, "other arguments") == TRUTHS[0]


def test_a_recorded_call_of_an_unknown_tool_is_replayed():
    turns = (Call(name="made_up", arguments="{}"), Observation(content="?", status=ToolStatus.UNKNOWN_TOOL))
    recorded = dataclasses.replace(GOLD, task=Task(id="t", query="q"), turns=turns)
    assert run(ReplayEnvironment(recorded), "made_up") == turns[1]

"""Agents, formats, environments and readers that are the user's own code, by `module:attribute`."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from alpha_umi.config import EnvironmentConfig, is_code, load_config
from alpha_umi.datasets.queries import Query
from alpha_umi.errors import ConfigError, DataError, FormatError
from alpha_umi.formats.shared import SharedFormat
from alpha_umi.loading.agents import open_coded_agent
from alpha_umi.loading.datasets import open_reader
from alpha_umi.loading.environments import open_environment
from alpha_umi.loading.formats import open_format, open_stored_format
from alpha_umi.preparation.custom import prepare_custom
from alpha_umi.store import read_trajectories, write_json, write_trajectories
from alpha_umi.types import Call, Plan, Role, Task, Trajectory, User
from support.commands import run_here

CODE = '''
from dataclasses import replace
from alpha_umi.environments.python import PythonEnvironment
from alpha_umi.formats.shared import SharedFormat
from alpha_umi.types import Call, Task, Trajectory, Plan, Decision, User
from alpha_umi.world.oracle_agent import OracleAgent as Oracle

NUMBER = 7
agent = Oracle()

class Tables:
    agents = Oracle

def broken():
    raise RuntimeError("no luck")

class Shouting(SharedFormat):
    """The shared layout with loud prompts."""
    __slots__ = ()
    @property
    def name(self):
        return "shouting"
    def render(self, role, task, turns):
        return super().render(role, replace(task, query=task.query.upper()), turns).upper()

class Kept(Shouting):
    __slots__ = ()
    def to_document(self):
        return {"kind": f"{__name__}:Kept", "loud": True}
    @classmethod
    def from_document(cls, document):
        assert document["loud"]
        return cls()

class Bank:
    """One account; forks do not touch each other."""
    def __init__(self, task, balance=0):
        self.task, self.balance = task, balance
        TASKS.append(task)
        self.inner = PythonEnvironment([self.pay])
    def pay(self, amount: int) -> int:
        """Pay in."""
        self.balance += amount
        return self.balance
    @property
    def tools(self):
        return self.inner.tools
    async def execute(self, call):
        return await self.inner.execute(call)
    def fork(self):
        return type(self)(self.task, self.balance)
    async def aclose(self):
        CLOSED.append(self)

CLOSED, TASKS = [], []
bank = Bank(None)

def no_task(balance=0):
    return Bank(None, balance)

def moody(task):
    raise KeyError(task.id)

def read(path):
    for line in path.read_text().splitlines():
        word, number = line.split()
        turns = (User(text=word), Plan(thought=number, decision=Decision.GIVE_UP))
        yield Trajectory(task=Task(id=word, query=word), turns=turns)

def read_odd(path):
    yield from read(path)
    yield {"task": 1}

def read_mistyped(path):
    yield Trajectory(task=Task(id=3, query="x"), turns=())

def read_untyped(path):
    yield Trajectory(task=Task(id="3", query="x"), turns=({"text": "x"},))
'''


@pytest.fixture
def module(tmp_path, monkeypatch, request):
    """The name of a module in the current directory."""
    name = f"own_code_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield name
    sys.modules.pop(name, None)


def test_only_module_and_attribute_mean_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert all(map(is_code, ("a:b", "a.b_c:D.e", "é:b")))
    assert not any(
        map(is_code, ("http://a", "http://127.0.0.1:80", "C:\\x", "shared", "a/b.json", "a:", ":b", "x y:z"))
    )
    Path("a:b").write_text("")
    assert not is_code("a:b")


@pytest.mark.parametrize("attribute", ["agent", "Tables.agents"])
def test_an_agent_is_an_object_or_what_a_class_makes(module, attribute):
    assert hasattr(open_coded_agent(f"{module}:{attribute}").agent, "propose")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("not_there:agent", "No module named 'not_there'; is its folder on PYTHONPATH"),
        ("{}:agnet", "module '.*' has no attribute 'agnet'"),
        ("{}:NUMBER", "has no 'propose'; name a run directory"),
        ("{}:no_task", "has no 'propose'"),
        ("{}:broken", r"RuntimeError: no luck \(.*\.py:15\)"),
        ("{}:", "write it as module:attribute"),
        ("raising:agent", r"cannot be imported: ZeroDivisionError: .*raising.py:2\)"),
        ("needing:agent", r"cannot be imported: ModuleNotFoundError: No module named 'not_there' \(.*needing.py:1\)"),
        ("cut:agent", r"cannot be imported: .*cut.py:1\)"),
        ("leaving:agent", "cannot be imported: SystemExit: 3"),
    ],
)
def test_code_that_cannot_be_had_is_a_clear_error(module, name, words):
    for other, text in (
        ("raising", "\n1 / 0\n"),
        ("needing", "import not_there\n"),
        ("cut", "def f(:\n"),
        ("leaving", "raise SystemExit(3)\n"),
    ):
        Path(f"{other}.py").write_text(text)
    with pytest.raises(ConfigError, match=f"^agent '{name.format(module)}'.*{words}"):
        open_coded_agent(name.format(module))


# --- formats ----------------------------------------------------------------------------------------------


def test_a_format_of_ones_own_is_opened_by_name_and_from_its_document(module):
    task = Task(id="1", query="how far?")
    for name in (f"{module}:Shouting", f"{module}:Kept"):
        assert "HOW FAR?" in open_format(name).render(Role.PLANNER, task, (User(text=task.query),))
    form = open_stored_format(f"{module}:Kept")
    write_json(Path("format.json"), form.to_document())
    assert type(open_format("format.json")).__name__ == "Kept"
    assert isinstance(open_stored_format("shared"), SharedFormat)


@pytest.mark.parametrize(
    ("name", "words"), [("no_task", "has no 'name', 'end'"), ("nothing", "has no attribute 'nothing'")]
)
def test_what_is_no_format_is_refused(module, name, words):
    with pytest.raises(ConfigError, match=f"format '{module}:{name}'.*{words}"):
        open_format(f"{module}:{name}")


def test_a_format_that_its_document_does_not_bring_back_cannot_be_trained(module):
    with pytest.raises(
        FormatError, match=r"is another one when it is opened from its document; give it to_document\(\)"
    ):
        open_stored_format(f"{module}:Shouting")


def test_a_configuration_leaves_the_name_of_a_format_that_is_code_as_it_is(tmp_path):
    from alpha_umi.config import AgentConfig

    for form, kept in (("mine:Form", "mine:Form"), ("mine.json", str(tmp_path / "mine.json"))):
        (tmp_path / "agent.toml").write_text(f'format = "{form}"\n[roles.backbone]\nmodel = "x/y"\n')
        assert load_config(AgentConfig, tmp_path / "agent.toml").format == kept


# --- environments -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("attribute", ["bank", "Bank", "no_task"])
def test_every_query_gets_an_environment_of_its_own(module, attribute):
    async def use():
        async with open_environment(EnvironmentConfig(code=f"{module}:{attribute}")) as loaded:
            seen = []
            for identifier in ("one", "two"):
                environment = loaded.open(Query(task=Task(id=identifier, query="q")))
                await environment.execute(Call(name="pay", arguments='{"amount": 5}'))
                fork = environment.fork()
                await fork.execute(Call(name="pay", arguments='{"amount": 100}'))
                seen.append((await environment.execute(Call(name="pay", arguments='{"amount": 1}'))).content)
                if attribute == "Bank":
                    assert sys.modules[module].TASKS[-1].id == identifier
            return seen

    assert asyncio.run(use()) == ["6", "6"]
    assert len(sys.modules[module].CLOSED) == (attribute == "bank")


def test_what_makes_no_environment_is_refused(module):
    query = Query(task=Task(id="one", query="q"))
    with pytest.raises(DataError, match=r"query one: environment '.*:moody': KeyError: 'one' \(.*\.py:\d+\)"):
        open_environment(EnvironmentConfig(code=f"{module}:moody")).open(query)
    for name in ("NUMBER", "Tables"):
        with pytest.raises(ConfigError, match="has no 'tools', 'execute' and 'fork'"):
            open_environment(EnvironmentConfig(code=f"{module}:{name}")).open(query)


def test_a_rollout_runs_in_an_environment_of_ones_own(module, tmp_path):
    Path("payer.py").write_text(
        "from alpha_umi.types import *\n"
        "class Payer:\n"
        "    async def propose(self, task, turns):\n"
        "        paid = [turn.content for turn in turns if isinstance(turn, Observation)]\n"
        "        if paid:\n"
        "            plan = Plan(thought='Paid.', decision=Decision.CONCLUDE)\n"
        "            return Proposal(turns=(plan, Answer(text=paid[0])))\n"
        "        plan = Plan(thought='Pay.', decision=Decision.CALL)\n"
        "        return Proposal(turns=(plan, Call(name=task.tools[0].name, arguments='{\"amount\": 3}')))\n"
    )
    write_trajectories(Path("tasks.jsonl"), [Trajectory(task=Task(id="t", query="pay"), turns=())])
    ended = run_here(
        *("rollout", "--agent", "payer:Payer", "--queries", "tasks.jsonl", "--env", f"{module}:Bank", "--out", "run"),
        cwd=tmp_path,
    )
    assert ended.code == 0, ended.err
    (row,) = map(json.loads, (tmp_path / "run" / "rollouts.jsonl").read_text().splitlines())
    assert "3" in json.dumps(row)
    assert f'code = "{module}:Bank"' in (tmp_path / "run" / "rollout.toml").read_text()
    sys.modules.pop("payer", None)


# --- readers ----------------------------------------------------------------------------------------------


def test_files_of_another_shape_are_prepared_by_a_reader_of_ones_own(module, tmp_path):
    Path("a.txt").write_text("one 1\ntwo 2\n")
    Path("b.txt").write_text("three 3\n")
    ended = run_here(
        "prepare", "custom", "--reader", f"{module}:read", "a.txt", "b.txt", "--out", "out.jsonl", cwd=tmp_path
    )
    assert ended.code == 0, ended.err
    assert ended.out == "out.jsonl: 3 trajectories of 3 read\n"
    read = list(read_trajectories(Path("out.jsonl")))
    assert [each.task.id for each in read] == ["one", "two", "three"]
    assert isinstance(read[0].turns[1], Plan)
    assert prepare_custom(open_reader(f"{module}:read"), [Path("a.txt")], Path("out.jsonl"), limit=1).kept == 1


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("read", "one 1\ntwo\n", r"a.txt: reader '.*:read', after 1 trajectories: ValueError: .*\.py:\d+\)"),
        ("read_odd", "one 1\n", r"a.txt: reader '.*', after 1 trajectories: .* of type dict, and no Trajectory"),
        ("read_mistyped", "", r"a.txt: trajectory 1, task.id: text is needed, not a number"),
        ("read_untyped", "", r"a.txt: trajectory 1: a field or turn is of a type"),
    ],
)
def test_a_reader_that_fails_names_the_file_and_leaves_nothing(module, name, text, words):
    Path("a.txt").write_text(text)
    with pytest.raises(DataError, match=words):
        prepare_custom(open_reader(f"{module}:{name}"), [Path("a.txt")], Path("out.jsonl"))
    assert not Path("out.jsonl").exists()


def test_a_reader_must_be_a_function_and_its_file_must_be_there(module):
    with pytest.raises(ConfigError, match="is no function; write one that takes a path"):
        open_reader(f"{module}:NUMBER")
    with pytest.raises(DataError, match=r"gone.txt: no such file"):
        prepare_custom(open_reader(f"{module}:read"), [Path("gone.txt")], Path("out.jsonl"))

"""Random model replies and random tool replies through every format and every search: no crash, every limit kept."""

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alpha_umi.agent import MultiAgent, OnNoDecision, RoleModel, SingleAgent
from alpha_umi.environments.access import Access, AccessLimits
from alpha_umi.environments.budgets import Budget, BudgetedEnvironment, Cut
from alpha_umi.environments.http import read_reply
from alpha_umi.environments.python import PythonEnvironment, tool
from alpha_umi.errors import FormatError, ModelError
from alpha_umi.formats.fit import Window
from alpha_umi.formats.load import BUILTIN, load_format
from alpha_umi.formats.native import write_reply
from alpha_umi.judging.convert import convert_trajectory
from alpha_umi.loading.formats import open_format
from alpha_umi.models.scripted import ScriptedModel
from alpha_umi.models.tool_calls import ToolWire
from alpha_umi.roles import FORMAT_ROLES
from alpha_umi.search import (
    Chain,
    DepthFirst,
    Limits,
    ModelRanker,
    NodeStatus,
    PublishedChain,
    PublishedTree,
    Tree,
    explore,
)
from alpha_umi.search.record import Recorder
from alpha_umi.store import decode_trajectory, encode_trajectory
from alpha_umi.types import (
    Answer,
    Call,
    Completion,
    Decision,
    FinishReason,
    Message,
    Observation,
    Plan,
    Reference,
    Role,
    Task,
    ToolPrompt,
    ToolSpec,
    Usage,
    User,
)
from support.examples import examples
from support.plain_format import PLAIN, PLAIN_REACT

FORMATS = {
    **{name: open_format(name) for name in BUILTIN},
    "plain": load_format(PLAIN),
    "react of a document": load_format(PLAIN_REACT),
}
SINGLE = {"native", "native-finish", "react", "react of a document"}
PIECES = (
    *("Next: caller.", "Next: conclusion.", "Next: give up.", "Thought: ", "\nAction: ", "\nAction Input: ", "Action:"),
    *(
        "conclusion: ",
        "give up",
        "Observation: ",
        "find",
        "fetch",
        "Finish",
        "give_up",
        "no_such_tool",
        "{}",
        "[]",
        "{",
    ),
    *(
        '{"what": "x"}',
        '{"what": 1}',
        '"}',
        '{"return_type": "give_answer", "final_answer": "x"}',
        "null",
        "NaN",
        "1e999",
    ),
    *('{"return_type": "give_up_and_restart"}', "<|planner|>", "<|caller|>", "<|summarizer|>", "<|end|>", "<|call|>"),
    *(
        "</think>",
        "```json\n",
        "\n",
        " ",
        "\\",
        "\ud800",
        "\x00",
        "\u2028",
        "[" * 60,
        "9" * 5000,
        "é",
        "[call]",
        "<end>",
    ),
)
LETTERS = (0, 10, 0x7F, 0x85, 0xD800, 0xFFFF, 0x1F600)
TALLY = Counter()
MOST_TOKENS = 30
"""Of a prompt, and of a completion."""


# --- what is random ---------------------------------------------------------------------------------------


@dataclass
class Chance:
    """Everything that is drawn; as good as `random` is, so that a seed or hypothesis itself may decide."""

    random: random.Random

    def one(self, *options):
        return options[self.random.randrange(len(options))]

    def some(self, make, most):
        return [make() for _ in range(self.random.randrange(most + 1))]

    def odd(self):
        return self.random.random() < 0.15

    def text(self):
        drawn = self.random.choices(PIECES, k=self.random.randrange(5))
        if self.odd():
            drawn += [chr(self.one(*LETTERS, self.random.randrange(0x20, 0x3000))) for _ in range(3)]
        return "".join(drawn)

    def value(self, depth=0):
        kind = self.random.randrange(5 if depth > 2 else 7)
        if kind == 5:
            return self.some(lambda: self.value(depth + 1), 3)
        if kind == 6:
            return dict(self.some(lambda: (self.text(), self.value(depth + 1)), 3))
        return self.text() if kind == 4 else (None, True, -3, 2**60 + 0.5)[kind]

    def arguments(self):
        if not self.odd():
            return json.dumps({"what": self.text()})
        return self.one('{"what": 3}', "{}", "", self.text(), json.dumps(self.value()))

    def call(self):
        name = self.one("no_such_tool", "Finish", "", "a b\n", self.text()) if self.odd() else self.one("find", "fetch")
        return Call(name=name, arguments=self.arguments())

    def reply(self):
        """What is said well, any text, or a message as it may come from an endpoint."""
        finish = FinishReason.LENGTH if self.odd() else FinishReason.STOP
        return self.said() if not self.odd() else self.one(self.text, self.message)(), finish, self.tokens()

    def tokens(self):
        return self.random.randrange(MOST_TOKENS + 1)

    def said(self):
        plan = Plan(thought=self.text(), decision=self.one(*Decision) if self.odd() else Decision.CALL)
        return plan, self.call(), Answer(text=self.text()), self.random.randrange(6)

    def message(self):
        call = self.call()
        function = self.one({"name": call.name, "arguments": call.arguments}, {"name": call.name}, None, {})
        fields = {
            "content": self.one(None, "", self.text()),
            "tool_calls": self.one(None, call.name, [None], [{"id": "x", "function": function}] * 3),
            "function_call": self.one(None, {"name": call.name, "arguments": call.arguments}),
        }
        return {key: field for key, field in fields.items() if self.one(True, False)}

    def tool_reply(self):
        match self.random.randrange(6):
            case 0:
                return "value", self.value()
            case 1:
                return "value", self.text()
            case 2:
                return "error", self.text()
            case 3:
                return self.one(200, 404, 429, 500), self.text()
            case _:
                answer = {"error": self.text() if self.odd() else "", "response": self.value()}
                return 200, json.dumps(answer)

    def limits(self):
        def few():
            return self.one(None, None, None, self.random.randrange(12))

        tokens = self.one(None, None, None, self.random.randrange(300))
        return Limits(
            max_steps=self.one(12, 12, self.random.randrange(6)),
            max_completions=few(),
            max_tokens=tokens,
            max_calls=few(),
            max_repeats=self.one(None, None, 1, 2),
        )

    def case(self):
        return Case(
            form=self.one(*sorted(FORMATS)),
            search=self.one(*STRATEGIES),
            limits=self.limits(),
            budget=self.one(None, Budget(cut=self.one(*Cut), max_chars=self.random.randrange(8, 200))),
            window=self.one(None, None, None, self.random.randrange(500, 9000)),
            on_no_decision=self.one(None, *OnNoDecision),
            model_replies=self.random.randrange(8, 30),
        )


@dataclass(frozen=True, kw_only=True)
class Case:
    """One search."""

    form: str
    search: str
    limits: Limits
    budget: Budget | None
    window: int | None
    """In characters of a prompt."""
    on_no_decision: OnNoDecision | None
    """None: one backbone plays."""
    model_replies: int
    """After so many the model fails, as an endpoint may."""


# --- who speaks -------------------------------------------------------------------------------------------


class Replies:
    """A model per role."""

    def __init__(self, chance, case):
        self.chance, self.form, self.left, self.asked = chance, FORMATS[case.form], case.model_replies, 0

    def model(self, role):
        return ScriptedModel(lambda prompt: self._reply(role, prompt))

    def _reply(self, role, prompt):
        self.asked += 1
        _check_prompt(prompt)
        if self.asked > self.left:
            raise ModelError("nothing more to say")
        reply, finish, tokens = self.chance.reply()
        TALLY["model"] += 1
        usage = Usage(prompt_tokens=tokens, completion_tokens=tokens, completions=1)
        return Completion(text=self._write(role, reply, prompt), finish=finish, usage=usage)

    def _write(self, role, reply, prompt):
        if isinstance(reply, dict):
            content = reply.get("content") or ""
            return ToolWire(prompt).read(reply, content) if isinstance(prompt, ToolPrompt) else json.dumps(reply)
        if isinstance(reply, str):
            return reply
        plan, call, answer, kind = reply
        if isinstance(prompt, ToolPrompt) and kind == 0:
            return write_reply(plan.thought, [call] * 2)
        turns = {
            Role.PLANNER: (plan,),
            Role.CALLER: (call,),
            Role.SUMMARIZER: (answer,),
            Role.BACKBONE: (plan, answer) if plan.decision is Decision.CONCLUDE else (plan, call),
        }[role]
        return self.form.write(role, turns if plan.decision is not Decision.GIVE_UP else turns[:1])


def _check_prompt(prompt):
    """What goes to an endpoint can be sent."""
    match prompt:
        case ToolPrompt():
            assert json.loads(json.dumps(ToolWire(prompt).request()))
        case str():
            pass
        case _:
            assert all(isinstance(message, Message) for message in prompt)


class Tools:
    """One tool that is a function of this process and one behind HTTP."""

    def __init__(self, chance):
        self.chance, self.calls = chance, 0
        self.access = Access(AccessLimits())

        @tool
        async def find(what: str) -> str:
            """Finds."""
            return self._next()[1]

        self.python = PythonEnvironment([find])
        fetch = ToolSpec(name="fetch", parameters={"type": "object", "properties": {"what": {"type": "string"}}})
        self.tools = (*self.python.tools, fetch)

    def _next(self):
        kind, content = self.chance.tool_reply()
        TALLY["tool"] += 1
        if kind == "error":
            raise RuntimeError(content)
        return kind, content

    async def execute(self, call):
        self.calls += 1
        if call.name != "fetch":
            return await self.python.execute(call)
        try:
            status, body = self._next()
        except RuntimeError as error:
            status, body = 500, str(error)
        data = str(body).encode(errors="surrogatepass")
        return read_reply(httpx2.Response(status if isinstance(status, int) else 200, content=data), self.access)

    def fork(self):
        return self


def strategy_of(kind, model):
    ranker = ModelRanker(model=model)
    return {
        "chain": Chain(),
        "chains": Chain(attempts=3),
        "dfsdt": DepthFirst(),
        "dfsdt for two": DepthFirst(width=3, answers=2),
        "dfs": DepthFirst(ranker=ranker),
        "published chain": PublishedChain(attempts=2),
        "published dfsdt": PublishedTree(max_queries=15),
        "published dfs": PublishedTree(ranker=ranker, max_queries=15),
    }[kind]


STRATEGIES = ("chain", "chains", "dfsdt", "dfsdt for two", "dfs", "published chain", "published dfsdt", "published dfs")


def agent_of(case, speak, window):
    form = FORMATS[case.form]
    if case.form in SINGLE or case.on_no_decision is None:
        return SingleAgent(backbone=RoleModel(model=speak.model(Role.BACKBONE), window=window), format=form)
    role_models = {role: RoleModel(model=speak.model(role), window=window) for role in FORMAT_ROLES}
    return MultiAgent(role_models=role_models, format=form, on_no_decision=case.on_no_decision)


# --- what must hold ---------------------------------------------------------------------------------------


def check_tree(tree, limits, *, published):
    for node in tree.nodes:
        assert (node.parent is None) == (node.index == 0)
        assert node.parent is None or node.parent < node.index
        depth = len(tree.path(node)) - 1
        assert published or depth <= limits.max_steps
        for before, turn in zip((None, *node.turns), node.turns, strict=False):
            assert not isinstance(turn, Observation) or isinstance(before, Call)
        ends = {NodeStatus.ANSWERED: Answer, NodeStatus.GAVE_UP: Plan}.get(node.status)
        assert ends is None or isinstance(node.turns[-1], ends)


def check_limits(tree, limits, speak, place):
    made = [node.usage for node in tree.nodes]
    spent = [usage.prompt_tokens + usage.completion_tokens for usage in made]
    if limits.max_completions is not None:
        assert speak.asked <= limits.max_completions
    if limits.max_tokens is not None:  # the completion that passes it is kept
        assert sum(spent) < limits.max_tokens + 2 * MOST_TOKENS
        assert limits.max_tokens or not sum(spent)
    if limits.max_calls is not None:
        assert place.calls <= limits.max_calls


def check_written(tree, strategy):
    best = tree.best
    assert decode_trajectory(json.loads(json.dumps(encode_trajectory(best)))) == best
    assert json.dumps(convert_trajectory(best, "m"))
    for reference in Reference:
        assert json.dumps(Recorder(strategy=strategy, reference=reference).write(tree))
    for form in FORMATS.values():
        assert form.render(Role.BACKBONE, tree.task, best.turns)


async def roll_out(agent, place, task, limits, strategy):
    tree = Tree(task=task)
    try:
        async for node in explore(agent, place, task, limits, strategy):
            tree.add(node)
    except (ModelError, FormatError) as error:  # the script has run out, or nothing fits the window
        TALLY[type(error).__name__] += 1
    return tree


def fuzz(chance):
    case = chance.case()
    speak, tools = Replies(chance, case), Tools(chance)
    place = tools if case.budget is None else BudgetedEnvironment(tools, case.budget, random.Random(0))
    window = None if case.window is None else Window(limit=case.window, count=lambda prompt: len(str(prompt)))
    strategy = strategy_of(case.search, speak.model(Role.BACKBONE))
    task = Task(id="1", query="q", tools=tools.tools)
    agent = agent_of(case, speak, window)
    tree = asyncio.run(roll_out(agent, place, task, case.limits, strategy))
    assert tree.branch(tree.nodes[0]) == (User(text="q"),)
    check_tree(tree, case.limits, published=case.search.startswith("published"))
    check_limits(tree, case.limits, speak, tools)
    check_written(tree, strategy)


@settings(max_examples=examples(30), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False))
def test_random_replies_crash_nothing_and_break_no_limit(draws):
    fuzz(Chance(draws))


@pytest.mark.parametrize("many", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_so_many_random_model_replies_and_tool_replies_crash_nothing_and_break_no_limit(many):
    TALLY.clear()

    @settings(max_examples=examples(50), deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 2**64))
    def some(seed):
        fuzz(Chance(random.Random(seed)))

    while min(TALLY["model"], TALLY["tool"]) < many:
        some()
    assert min(TALLY["model"], TALLY["tool"]) >= many

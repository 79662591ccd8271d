"""One chat model with native function calling, from the wire of a real server to the answer of a search."""

import asyncio
import json

import pytest

from alpha_umi.config import AgentConfig, EndpointConfig, RolesConfig, load_config
from alpha_umi.environments.python import PythonEnvironment, tool
from alpha_umi.errors import ConfigError, ModelError
from alpha_umi.loading.agents import endpoint_agent, open_agent
from alpha_umi.loading.formats import open_format
from alpha_umi.search import DepthFirst, Limits, Tree, explore
from alpha_umi.search.record import Recorder
from alpha_umi.types import Answer, Call, Decision, Observation, Plan, StopReason, Task, ToolStatus, User
from support.commands import run_here
from support.endpoint_server import Answer as Made
from support.endpoint_server import EndpointServer, Reply, chat_reply, serving, tool_reply

FINISHED = tool_reply(("Finish", '{"return_type": "give_answer", "final_answer": "4"}'), content="Known.")
GAVE_UP = tool_reply(("Finish", '{"return_type": "give_up_and_restart"}'))


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@tool
def add(a: int, b: int) -> int:
    """The sum of two numbers."""
    return a + b


def adding(a, b):
    return "add", json.dumps({"a": a, "b": b})


def roll_out(*behaviours, form="native", strategy=None, limits=None):
    """The tree of a search and the requests that it made of a server that behaves so."""

    async def run():
        environment = PythonEnvironment([add])
        task = Task(id="1", query="What is 1 + 1 + 2?", tools=environment.tools)
        async with EndpointServer(*behaviours) as server:
            roles = RolesConfig(backbone=EndpointConfig(base_url=server.url, model="m"))
            tree = Tree(task=task)
            async with open_agent(AgentConfig(format=form, roles=roles)) as loaded:
                async for node in explore(loaded.agent, environment, task, limits, strategy):
                    tree.add(node)
            return tree, [request.body for request in server.received]

    return asyncio.run(run())


def replies(*bodies):
    return [Reply(body=body) for body in bodies]


def test_a_chain_calls_reads_and_answers():
    tree, requests = roll_out(
        *replies(
            tool_reply(adding(1, 1), content="First the first two."), tool_reply(adding(2, 2)), chat_reply("It is 4.")
        )
    )
    assert tree.best.turns == (
        User(text="What is 1 + 1 + 2?"),
        Plan(thought="First the first two.", decision=Decision.CALL),
        Call(name="add", arguments='{"a": 1, "b": 1}'),
        Observation(content="2"),
        Plan(thought="", decision=Decision.CALL),
        Call(name="add", arguments='{"a": 2, "b": 2}'),
        Observation(content="4"),
        Plan(thought="", decision=Decision.CONCLUDE),
        Answer(text="It is 4."),
    )
    assert (tree.best.stop, tree.best.usage.completions) == (StopReason.ANSWERED, 3)
    assert [each["function"]["name"] for each in requests[0]["tools"]] == ["add", "give_up"]
    assert requests[0]["tools"][0]["function"]["parameters"]["properties"]["a"]["type"] == "integer"
    assert requests[2]["messages"][2:] == [
        {
            "role": "assistant",
            "content": "First the first two.",
            "tool_calls": [
                {"id": "call00000", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 1}'}}
            ],
        },
        {"role": "tool", "content": "2", "tool_call_id": "call00000"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "call00001", "type": "function", "function": {"name": "add", "arguments": '{"a": 2, "b": 2}'}}
            ],
        },
        {"role": "tool", "content": "4", "tool_call_id": "call00001"},
    ]


def test_parallel_calls_are_run_one_after_the_other_in_one_step_and_shown_as_one_message():
    tree, requests = roll_out(*replies(tool_reply(adding(1, 1), adding(2, 0), content="Both."), chat_reply("4")))
    assert [type(turn).__name__ for turn in tree.nodes[1].turns] == ["Plan", *["Call", "Observation"] * 2]
    told = requests[1]["messages"][2:]
    assert [message["role"] for message in told] == ["assistant", "tool", "tool"]
    assert [call["id"] for call in told[0]["tool_calls"]] == [message["tool_call_id"] for message in told[1:]]


def test_the_budget_of_calls_holds_within_parallel_calls_too():
    tree, _ = roll_out(*replies(tool_reply(adding(1, 1), adding(2, 0)), chat_reply("4")), limits=Limits(max_calls=1))
    assert [type(turn).__name__ for turn in tree.best.turns[1:]] == ["Plan", "Call", "Observation", "Call"]
    assert tree.best.stop is StopReason.LIMIT


def test_an_answer_file_holds_every_one_of_parallel_calls():
    tree, _ = roll_out(*replies(tool_reply(adding(1, 1), adding(2, 0), content="Both."), chat_reply("4")))
    document = Recorder(strategy=DepthFirst()).write(tree)
    drawn, kinds = document["tree"]["tree"], []
    while drawn["children"]:
        drawn = drawn["children"][0]
        kinds.append((drawn["node_type"], drawn.get("observation")))
    call = [("Action", None), ("Action Input", "2")]
    assert kinds == [("Thought", None), *call, *call, ("Action", None), ("Action Input", drawn["observation"])]
    rows = document["answer_generation"]["train_messages"]
    assert [row[-1]["function_call"]["name"] for row in rows] == ["add", "add", "Finish"]
    assert [message["role"] for message in rows[-1]] == ["system", "user", *["assistant", "function"] * 2, "assistant"]


@pytest.mark.parametrize(
    ("made", "status"),
    [
        (("add", '{"a": 1'), ToolStatus.BAD_ARGUMENTS),
        (("add", "[]"), ToolStatus.BAD_ARGUMENTS),
        (("add", ""), ToolStatus.BAD_ARGUMENTS),
        (("add", None), ToolStatus.BAD_ARGUMENTS),
        (("substract!", "{}"), ToolStatus.UNKNOWN_TOOL),
        ((None, "{}"), ToolStatus.UNKNOWN_TOOL),
        (("", "{}"), ToolStatus.UNKNOWN_TOOL),
        (("add", {"a": 1, "b": 1}), ToolStatus.OK),
    ],
)
def test_whatever_a_model_calls_is_observed_and_it_may_go_on(made, status):
    tree, requests = roll_out(*replies(tool_reply(made), chat_reply("Well.")))
    assert [turn.status for turn in tree.best.turns if isinstance(turn, Observation)] == [status]
    assert tree.best.stop is StopReason.ANSWERED
    for message in requests[1]["messages"]:
        for call in message.get("tool_calls", []):
            assert call["function"]["name"]
            assert isinstance(json.loads(call["function"]["arguments"]), dict)


@pytest.mark.parametrize(
    "message",
    [
        {"tool_calls": "add"},
        {"tool_calls": {"function": {"name": "add", "arguments": {"a": 1, "b": 1}}}},
        {"tool_calls": [None, 3, {"id": "x"}, {"function": {"name": {}}}]},
        {"function_call": {"name": "add", "arguments": '{"a": 1, "b": 1}'}},
        {"content": "", "tool_calls": []},
        {"content": None},
    ],
)
def test_a_message_of_another_shape_is_a_step_like_any_other(message):
    tree, _ = roll_out(*replies({"choices": [{"message": message}]}, chat_reply("4")))
    assert tree.best.turns[-1] == Answer(text="4")


@pytest.mark.parametrize("message", [None, "add", {"content": 4}, ["content"]])
def test_what_is_no_message_at_all_is_a_model_error(message):
    with pytest.raises(ModelError, match="sent"):
        roll_out(*replies({"choices": [{"message": message}]}))


def test_finish_gives_up_and_answers_as_toolbench_has_it():
    tree, requests = roll_out(
        *replies(chat_reply("Let me think."), tool_reply(adding(2, 2)), FINISHED), form="native-finish"
    )
    assert tree.best.turns[1] == Plan(thought="Let me think.", decision=Decision.NONE)
    assert tree.best.turns[-2:] == (Plan(thought="Known.", decision=Decision.CONCLUDE), Answer(text="4"))
    assert [each["function"]["name"] for each in requests[0]["tools"]] == ["add", "Finish"]
    assert roll_out(*replies(GAVE_UP), form="native-finish")[0].best.stop is StopReason.GAVE_UP
    assert roll_out(*replies(tool_reply(("give_up", "{}"))))[0].best.stop is StopReason.GAVE_UP


@pytest.mark.parametrize("form", ["native", "native-finish"])
def test_a_tree_tries_again_after_a_give_up_and_tells_what_was_tried(form):
    """The model gives up until it hears that it did."""

    def make(body):
        said = json.dumps(body["messages"])
        if "already tried" in said:
            return FINISHED if form == "native-finish" else chat_reply("4")
        if "tool_call_id" in said:
            return GAVE_UP if form == "native-finish" else tool_reply(("give_up", "{}"), content="No.")
        return tool_reply(adding(1, 1), content="Try.")

    tree, _ = roll_out(Made(make=make), form=form, strategy=DepthFirst())
    assert tree.best.turns[-1] == Answer(text="4")
    assert len(tree.nodes) > len(tree.path(tree.nodes[-1]))


def test_a_model_that_fails_ends_its_branch_of_a_tree_alone():
    bodies = [Reply(body=tool_reply(adding(1, 1))), Reply(status=400, body="bad"), Reply(body=chat_reply("4"))]
    tree, _ = roll_out(*bodies, strategy=DepthFirst())
    assert tree.best.turns[-1] == Answer(text="4")
    assert [node.status.value for node in tree.nodes] == ["done", "done", "failed", "answered"]


# --- configuration ----------------------------------------------------------------------------------------


def test_an_agent_file_names_the_format_and_one_backbone(tmp_path):
    path = tmp_path / "agent.toml"
    path.write_text('format = "native"\n[roles.backbone]\nbase_url = "http://localhost:1/v1"\nmodel = "m"\n')
    config = load_config(AgentConfig, path)
    assert config == endpoint_agent("http://localhost:1/v1", "m", native=True)
    assert open_agent(config).format == open_format("native")


def test_native_calls_want_one_backbone_and_a_chat_endpoint():
    endpoint = EndpointConfig(base_url="http://localhost:1/v1", model="m")
    three = RolesConfig(planner=endpoint, caller=endpoint, summarizer=endpoint)
    with pytest.raises(ConfigError, match=r"name \[roles.backbone\] alone"):
        open_agent(AgentConfig(format="native", roles=three))
    completions = EndpointConfig(base_url="http://localhost:1/v1", model="m", api="completions")
    loaded = open_agent(AgentConfig(format="native", roles=RolesConfig(backbone=completions)))
    with pytest.raises(ModelError, match="set api to 'chat'"):
        asyncio.run(loaded.agent.propose(Task(id="1", query="q"), ()))


def test_ask_native_answers_on_the_command_line(tmp_path):
    tools = tmp_path / "tools.py"
    tools.write_text(
        "from alpha_umi.environments.python import tool\n\n\n"
        "@tool\ndef add(a: int, b: int) -> int:\n    '''Adds.'''\n    return a + b\n"
    )
    with serving(*replies(tool_reply(adding(2, 2)), chat_reply("It is 4."))) as server:
        asked = run_here("ask", "2 + 2?", "--tools", tools, "--base-url", server.url, "--model", "m", "--native")
    assert asked.out == "It is 4.\n"
    assert asked.code == 0

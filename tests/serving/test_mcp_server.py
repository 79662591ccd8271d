"""`umi mcp`: an agent, tools and retrieval, asked by the SDK's own client in memory, over HTTP and over stdio."""

import asyncio
import functools
import json
import sys
import threading
from contextlib import contextmanager

import pytest
from mcp import Client, StdioServerParameters

import alpha_umi as umi
from alpha_umi.datasets.queries import Query
from alpha_umi.environments.mcp import connection
from alpha_umi.loading.mcp import open_mcp
from alpha_umi.serving.http import server as http
from alpha_umi.serving.mcp import start
from alpha_umi.serving.mcp.server import make_server
from support import commands
from support.agent_server import WorldTask
from support.coded_agents import Echo, Scripted

TASK = "G1_tool:7"


def add(x: int) -> int:
    """Adds one."""
    return x + 1


def spell(text: str) -> dict[str, int]:
    """Counts letters."""
    return {text: len(text)}


def talk(server, function, **options):
    """What an async function of a client returns."""

    async def connected():
        async with Client(server, **options) as client:
            return await function(client)

    return asyncio.run(connected())


def open_server(agent=None, **options):
    given = {name: options.pop(name) for name in ("tools", "world", "mcp") if name in options}
    return start.open_server(start.read_options(agent, given, **options))


def said(result):
    return result.is_error, "".join(block.text for block in result.content)


def test_a_task_ends_by_finish_whose_result_is_the_verdict():
    async def play(client):
        names = [tool.name for tool in (await client.list_tools()).tools]
        unread = await client.call_tool(names[0], {"no_such": 1})
        ended = await client.call_tool("Finish", {"return_type": "give_up_and_restart"})
        again = await client.call_tool(names[0], {})
        return names, said(unread), ended.structured_content, said(again)

    names, unread, verdict, again = talk(open_server(world="small", offers=("task",), world_task=TASK), play)
    assert names[-1] == "Finish"
    assert unread[0]
    assert not verdict["passed"]
    assert verdict["reasons"]
    assert again == (True, "The task has ended.")
    with pytest.raises(umi.ConfigError, match="--offer task offers the tools of a --world-task"):
        start.read_options(None, {"world": "small"}, offers=("task",))


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_an_agent_is_a_tool_in_both_eras_of_the_protocol_and_tells_what_it_does(mode):
    async def ask(client):
        told = []

        async def on_progress(_, __, message):
            told.append(message)

        result = await client.call_tool("ask", {"query": "hello"}, progress_callback=on_progress)
        return client.protocol_version, said(result), told

    version, answer, told = talk(open_server(Echo(), tools=[spell]), ask, mode=mode)
    assert (version >= "2026") == (mode == "auto")
    assert answer == (False, 'hello: {"hello": 5}')
    assert told == ["Use the tool.", 'spell {"text": "hello"}', "Done."]


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("add", {"x": "2"}, "argument 'x' must be an integer, not a string"),
        ("add", {"x": True}, "argument 'x' must be an integer, not true or false"),
        ("add", {"x": 2, "y": 1}, "argument 'y' is unknown; known: x"),
        ("add", {}, "argument 'x' is missing"),
        ("ask", {"query": " "}, "argument 'query' is empty"),
        ("find_tools", {"query": "x", "k": 0}, "argument 'k' must be 1 to 50, not 0"),
        ("nope", {}, "there is no tool 'nope'"),
    ],
)
def test_what_does_not_fit_is_said_in_words_and_reaches_no_tool(name, arguments, words, corpus):
    server = open_server(Echo(), tools=[add], offers=("ask", "tools", "retrieve"), retrieve_from=corpus)
    result = talk(server, lambda client: client.call_tool(name, arguments))
    assert said(result) == (True, words)


@pytest.fixture
def corpus(tmp_path):
    weather = {"name": "forecast", "description": "Weather of the next days in a city.", "required_parameters": []}
    stocks = {"name": "price", "description": "Price of a share.", "required_parameters": []}
    path = tmp_path / "tools" / "All"
    path.mkdir(parents=True)
    for name, api in (("Sky", weather), ("Bourse", stocks)):
        (path / f"{name}.json").write_text(json.dumps({"tool_name": name, "api_list": [api]}))
    return tmp_path / "tools"


def test_retrieval_finds_the_tools_of_a_corpus(corpus):
    server = open_server(retrieve_from=corpus, offers=("retrieve",))
    result = talk(server, lambda client: client.call_tool("find_tools", {"query": "what weather comes?", "k": 1}))
    [found] = json.loads(said(result)[1])
    assert (found["name"], found["tool"]) == ("forecast_for_sky", "Sky")


def test_an_object_is_structured_content_and_a_crash_names_nothing_of_the_inside():
    class Broken:
        tools = (umi.ToolSpec(name="spell", parameters={"type": "object", "properties": {}}),)

        async def execute(self, call):
            raise RuntimeError("a secret")

        def fork(self):
            return self

    result = talk(open_server(tools=[spell], offers=("tools",)), lambda c: c.call_tool("spell", {"text": "abc"}))
    assert result.structured_content == {"abc": 3}
    server = make_server(Broken(), name="broken", version="")
    error, words = said(talk(server, lambda client: client.call_tool("spell", {})))
    assert error
    assert "secret" not in words


def test_a_client_can_do_a_task_of_the_sealed_world():
    task = WorldTask(TASK)

    async def look(client):
        tools = [tool.name for tool in (await client.list_tools()).tools]
        return client.instructions, tools

    instructions, tools = talk(open_server(world="small", world_task=TASK), look)
    assert instructions == f"The task: {task.query}"
    assert tools == [spec.name for spec in task.task.tools]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"offers": ("everything",)}, "known: ask, tools, task, retrieve"),
        ({"offers": ("tools",), "agent": Echo()}, "which tools may be used"),
        ({"offers": ("retrieve",)}, "needs a corpus"),
        ({"offers": ("ask",), "world_task": TASK}, "one query of the world"),
    ],
)
def test_offers_that_contradict_each_other_are_errors(options, words):
    with pytest.raises(umi.ConfigError, match=words):
        start.read_options(options.pop("agent", None), {}, **options)


# --- HTTP -----------------------------------------------------------------------------------------------


@contextmanager
def over_http(monkeypatch, options, key_env=None, port=0):
    """The address of a server that `run_http` serves in a thread."""
    ready, addresses, servers = threading.Event(), [], []
    serve = http.Server

    def remember(*given):
        servers.append(serve(*given))
        return servers[-1]

    monkeypatch.setattr(http, "Server", remember)

    def on_ready(url):
        addresses.append(url)
        ready.set()

    thread = threading.Thread(target=start.run_http, args=(options, "127.0.0.1", port, key_env, on_ready), daemon=True)
    thread.start()
    assert ready.wait(60)
    try:
        yield addresses[0]
    finally:
        servers[0].should_exit = True
        thread.join(30)
        assert not thread.is_alive()


def test_a_server_over_http_is_asked_by_the_sdk_and_by_an_agent_of_ours(monkeypatch):
    options = start.read_options(None, {"tools": [add]}, offers=("tools",))
    with over_http(monkeypatch, options) as url:
        for mode in ("auto", "legacy"):
            assert said(talk(url, lambda client: client.call_tool("add", {"x": 2}), mode=mode)) == (False, "3")
        script = Scripted(umi.Call(name="add", arguments='{"x": 41}'), umi.Answer(text="so"))
        done = umi.ask("?", agent=script, mcp=url)
        assert [turn.content for turn in done.turns if isinstance(turn, umi.Observation)] == ["42"]


def test_a_server_that_has_forgotten_a_session_gets_another(monkeypatch):
    monkeypatch.setattr(connection, "Client", functools.partial(Client, mode="legacy"))
    options = start.read_options(None, {"tools": [add]}, offers=("tools",))
    call = umi.Call(name="add", arguments='{"x": 1}')
    with over_http(monkeypatch, options) as url:
        mcp = open_mcp([url])
        environment = mcp.open(Query(task=umi.Task(id="t", query="?")))
        assert asyncio.run(environment.execute(call)).content == "2"
    with over_http(monkeypatch, options, port=int(url.rpartition(":")[2].partition("/")[0])):
        assert asyncio.run(environment.execute(call)).content == "2"
        asyncio.run(mcp.servers.aclose())


def test_a_server_over_http_asks_for_its_key(monkeypatch):
    monkeypatch.setenv("UMI_TEST_KEY", "open sesame")
    options = start.read_options(None, {"tools": [add]}, offers=("tools",))
    with over_http(monkeypatch, options, "UMI_TEST_KEY") as url:
        with pytest.raises(umi.ConfigError, match="cannot be used"):
            umi.ask("?", agent=Scripted(), mcp=url)
        key = {"Authorization": "Bearer ${UMI_TEST_KEY}"}
        document = {"mcpServers": {"mine": {"url": url, "headers": key}}}
        script = Scripted(umi.Call(name="add", arguments='{"x": 1}'), umi.Answer(text="so"))
        assert umi.ask("?", agent=script, mcp=document).answer == "so"


def test_a_host_that_others_reach_needs_a_key():
    options = start.read_options(None, {"tools": [add]}, offers=("tools",))
    with pytest.raises(umi.ConfigError, match="need a key"):
        start.run_http(options, "0.0.0.0", 0, None, print)  # noqa: S104


# --- stdio ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_bundled_agent_answers_over_stdio_as_it_does_here_with_tools_of_another_server(tmp_path):
    world = [sys.executable, "-m", "alpha_umi.cli", "mcp", "--offer", "tools", "--world", "small", "--world-task", TASK]
    servers = {"world": {"command": world[0], "args": world[1:], "env": commands.environment()}}
    path = tmp_path / "servers.json"
    path.write_text(json.dumps({"mcpServers": servers}))
    query = WorldTask(TASK).query
    here = umi.ask(world_task=TASK)
    agent = ["-m", "alpha_umi.cli", "mcp", "--agent", "umi-tiny", "--mcp", str(path)]
    parameters = StdioServerParameters(command=sys.executable, args=agent, env=commands.environment())

    async def ask(client):
        return said(await client.call_tool("ask", {"query": query}))

    assert talk(parameters, ask) == (False, here.answer)

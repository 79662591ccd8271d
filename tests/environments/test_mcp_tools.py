"""Tools of MCP servers as an environment: listing, calls, results, failures, and the options that name servers."""

import asyncio
import json
import sys

import hypothesis
import hypothesis.strategies as st
import openai
import pytest
from mcp.server.lowlevel import Server
from mcp.types import (
    AudioContent,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    ListToolsResult,
    ResourceLink,
    TextContent,
    TextResourceContents,
    Tool,
    ToolAnnotations,
)

import alpha_umi as umi
from alpha_umi.config import McpConfig
from alpha_umi.datasets.queries import Query
from alpha_umi.environments.mcp.results import read_result
from alpha_umi.formats.tool_names import plain_name, unique_names
from alpha_umi.loading.mcp import open_mcp, read_source
from support.agent_server import serving
from support.coded_agents import Echo, Scripted
from support.examples import examples
from support.folders import TESTS
from support.waiting import eventually

STDIO = f"{sys.executable} {TESTS / 'support' / 'mcp_stdio_server.py'}"
NUMBER = {"type": "object", "properties": {"x": {"type": "integer", "title": "X"}}, "required": ["x"], "title": "A"}


def server(*tools, name="shop", answer=lambda name, arguments: f"{name} {json.dumps(arguments)}"):
    """A server of the SDK in this process; `tools`: names, or whole tools."""
    listed = [each if isinstance(each, Tool) else Tool(name=each, input_schema=NUMBER) for each in tools]

    async def list_tools(_, params):
        return ListToolsResult(tools=listed)

    async def call_tool(_, params):
        said = answer(params.name, params.arguments)
        return said if isinstance(said, CallToolResult) else CallToolResult(content=[TextContent(text=said)])

    return Server(name, on_list_tools=list_tools, on_call_tool=call_tool)


def query(text="what?", *called):
    return Query(task=umi.Task(id="t", query=text, tools=tuple(called)))


class Opened:
    """Tools of some servers, opened for one query after the other."""

    def __init__(self, *sources, **config):
        self.mcp = open_mcp(sources, McpConfig(servers=[], **config))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        asyncio.run(self.mcp.servers.aclose())

    def tools(self, *question):
        return {spec.name: spec for spec in self.mcp.open(query(*question)).tools}

    def call(self, name, arguments="{}"):
        return asyncio.run(self.mcp.open(query()).execute(umi.Call(name=name, arguments=arguments)))


# --- listing --------------------------------------------------------------------------------------------


def test_tools_of_several_servers_have_names_of_their_own_in_any_script():
    one = server("search", "get weather", "検索", "Finish", name="books")
    with Opened(one, server("search", "add", "x" * 80, name="films")) as opened:
        names = list(opened.tools())
    assert names[:5] == ["search_for_books", "get_weather", "検索", "Finish_for_books", "search_for_films"]
    assert names[5] == "add"
    assert len(names[6]) == 64


@hypothesis.given(st.lists(st.tuples(st.text(), st.text() | st.sampled_from(["a", "a_for_b", "Finish", "<|x|>"]))))
@hypothesis.settings(max_examples=examples(60))
def test_names_of_tools_are_unique_short_and_hold_no_marks(tools):
    names = unique_names(tools)
    assert len(set(names)) == len(names) == len(tools)
    assert all(plain_name(name) == name != "Finish" and len(name) <= 64 and "|" not in name for name in names)


def test_schemas_are_shown_without_references_and_titles():
    schema = {
        "type": "object",
        "title": "Arguments",
        "properties": {"day": {"$ref": "#/$defs/Day", "title": "Day"}, "title": {"type": ["string", "null"]}},
        "$defs": {"Day": {"type": "string", "title": "Day", "enum": ["mon", "tue"]}},
    }
    with Opened(server(Tool(name="open", title="Opens", input_schema=schema))) as opened:
        spec = opened.tools()["open"]
    assert spec.parameters["properties"] == {
        "day": {"type": "string", "enum": ["mon", "tue"]},
        "title": {"type": ["string", "null"]},
    }
    assert "$defs" not in spec.parameters
    assert spec.description == "Opens"


def test_of_many_tools_a_query_is_offered_those_that_fit_it_and_those_called_before():
    tools = [Tool(name=f"tool_{n}", description=f"About topic{n}.", input_schema=NUMBER) for n in range(200)]
    with Opened(server(*tools), offer=5) as opened:
        found = opened.tools("what of topic137 and topic12?")
        assert len(found) == 5
        assert {"tool_137", "tool_12"} <= set(found)
        again = opened.tools("and topic7?", found["tool_137"])
    assert list(again)[:2] == ["tool_137", "tool_7"]


# --- calls ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [('{"x": "2"}', "argument 'x' must be"), ('{"x": true}', "argument 'x' must be"), ('{"x": 1, "y": 2}', "'y'")],
)
def test_arguments_that_a_server_would_bend_do_not_reach_it(arguments, reason):
    with Opened(server("add", answer=lambda *_: pytest.fail("was called"))) as opened:
        seen = opened.call("add", arguments)
    assert seen.status is umi.ToolStatus.BAD_ARGUMENTS
    assert reason in seen.content


def test_unknown_tools_and_arguments_that_fit_are_told_apart():
    with Opened(server("add")) as opened:
        assert opened.call("add", '{"x": 2}') == umi.Observation(content='add {"x": 2}')
        assert opened.call("nope").status is umi.ToolStatus.UNKNOWN_TOOL


def test_a_tool_that_its_server_calls_destructive_is_confirmed_and_one_that_reads_is_not():
    hints = {
        "wipe": ToolAnnotations(destructive_hint=True),
        "look": ToolAnnotations(read_only_hint=True, destructive_hint=True),
        "add": ToolAnnotations(destructive_hint=False),
        "plain": None,
    }
    listed = [Tool(name=name, input_schema=NUMBER, annotations=hint) for name, hint in hints.items()]
    with Opened(server(*listed)) as opened:
        assert [name for name, tool in opened.tools().items() if tool.confirm] == ["wipe"]
    asked, agent = [], Scripted(umi.Call(name="wipe", arguments='{"x": 1}'), umi.Answer(text="Not done."))
    shop = server(*listed, answer=lambda *_: pytest.fail("was called"))
    refused = umi.ask("Wipe it.", agent=agent, mcp=shop, confirm=lambda call, _: asked.append(call.name))
    assert asked == ["wipe"]
    assert refused.turns[-3].status is umi.ToolStatus.DECLINED


PIXEL = ImageContent(data="aGVsbG8=", mime_type="image/png")


def text(*texts):
    return [TextContent(text=each) for each in texts]


@pytest.mark.parametrize(
    ("content", "structured", "seen"),
    [
        (text("hello"), None, "hello"),
        (text("3"), {"result": 3}, "3"),
        (text("1", "b"), {"result": [1, "b"]}, '[1, "b"]'),
        (text('{\n "a": 1\n}'), {"a": 1}, '{\n "a": 1\n}'),
        (text("Two found."), {"found": [1, 2]}, 'Two found.\n{"found": [1, 2]}'),
        ([], {"a": "ü"}, '{"a": "ü"}'),
        ([PIXEL], None, "[an image that cannot be shown: image/png, 5 bytes]"),
        ([AudioContent(data="", mime_type="audio/wav")], None, "[a sound that cannot be played: audio/wav, 0 bytes]"),
        ([ResourceLink(name="log", uri="file:///log")], None, "[a link: log, file:///log]"),
        ([EmbeddedResource(resource=TextResourceContents(uri="a:b", text="in"))], None, "in"),
        (text("half \ud800"), None, "half ?"),
    ],
)
def test_results_are_texts_structured_content_that_they_do_not_repeat_and_notes(content, structured, seen):
    result = CallToolResult(content=content, structured_content=structured)
    assert read_result(result) == umi.Observation(content=seen)


def test_a_server_that_refuses_dies_or_changes_is_data_and_the_next_call_finds_it_again():
    with Opened(STDIO) as opened:
        assert opened.call("add", '{"a": 2, "b": 3}').content == "5"
        assert opened.call("refuse") == umi.Observation(content="not today", status=umi.ToolStatus.ERROR)
        assert opened.call("count").content == "3"
        dead = opened.call("die")
        assert dead.status is umi.ToolStatus.ERROR
        assert "may or may not have run" in dead.content
        assert opened.call("count").content == "1"  # of a new process
        opened.call("grow")
        eventually(lambda: "grown" in opened.tools())
        assert opened.call("grown").status is umi.ToolStatus.OK


def test_a_call_that_takes_too_long_is_given_up_and_its_server_goes_on():
    with Opened(STDIO, timeout_s=2.0) as opened:
        hung = opened.call("hang")
        assert hung.status is umi.ToolStatus.TIMEOUT
        assert "within 2 s" in hung.content
        eventually(lambda: opened.call("add", '{"a": 2, "b": 3}').content == "5")


# --- servers --------------------------------------------------------------------------------------------


def test_a_file_of_servers_is_read_as_other_clients_read_it(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKEN", "s3cret")
    servers = {
        "files": {"command": "npx", "args": ["-y", "server"], "env": {"KEY": "${TOKEN}", "MODE": "${MODE:-dry}"}},
        "web": {"type": "http", "url": "https://example.org/mcp", "headers": {"Authorization": "Bearer ${TOKEN}"}},
        "off": {"command": "x", "disabled": True},
    }
    path = tmp_path / "mcp.json"
    path.write_text(json.dumps({"mcpServers": servers}))
    files, web = read_source(str(path))
    assert (files.name, files.command, files.env) == (
        "files",
        ("npx", "-y", "server"),
        {"KEY": "s3cret", "MODE": "dry"},
    )
    assert (web.url, web.headers) == ("https://example.org/mcp", {"Authorization": "Bearer s3cret"})
    assert "s3cret" not in repr((files, web))


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({}, "mcpServers"),
        ({"mcpServers": {"a": {}}}, "either 'command' or 'url'"),
        ({"mcpServers": {"a": {"command": "x", "args": "y"}}}, "a.args: a list of texts"),
        (
            {"mcpServers": {"a": {"url": "http://x", "headers": {"k": "${NOT_SET_AT_ALL}"}}}},
            "NOT_SET_AT_ALL is not set",
        ),
        ({"mcpServers": {"a": {"url": "http://x", "type": "carrier pigeon"}}}, "carrier pigeon"),
    ],
)
def test_a_wrong_file_of_servers_is_an_error_that_names_the_place(document, reason):
    with pytest.raises(umi.AlphaUMiError, match=reason):
        read_source(document)


@pytest.mark.parametrize("source", ["no-such-command-at-all", f"{sys.executable} -c 1/0", "http://127.0.0.1:9/mcp"])
def test_a_server_that_cannot_be_used_is_an_error_before_anything_is_loaded(source):
    with pytest.raises(umi.ConfigError, match=r"MCP server '.*' cannot be used: .+"):
        umi.ask("hello", agent=Scripted(), mcp=source)


def test_a_query_is_answered_with_the_tools_of_a_server():
    script = Scripted(umi.Call(name="add", arguments='{"x": 2}'), umi.Answer(text="done"))
    done = umi.ask("hello", agent=script, mcp=server("add"))
    assert [turn.content for turn in done.turns if isinstance(turn, umi.Observation)] == ['add {"x": 2}']
    assert done.answer == "done"


def test_tools_of_a_server_stand_beside_ones_own_under_another_name():
    def add(x: int) -> int:
        """Adds."""
        return x + 1

    script = Scripted(
        umi.Call(name="add", arguments='{"x": 2}'),
        umi.Call(name="add_for_shop", arguments='{"x": 2}'),
        umi.Answer(text="done"),
    )
    done = umi.ask("hello", agent=script, tools=[add], mcp=server("add"))
    assert [turn.content for turn in done.turns if isinstance(turn, umi.Observation)] == ["3", 'add {"x": 2}']


def test_an_endpoint_offers_the_tools_of_a_server():
    spell = Tool(name="spell", input_schema={"type": "object", "properties": {"text": {"type": "string"}}})
    with serving(Echo(), options={"mcp": server(spell)}) as served:
        client = openai.OpenAI(base_url=served.url, api_key="none", max_retries=0)
        done = client.chat.completions.create(model="agent", messages=[{"role": "user", "content": "hello"}])
    assert done.choices[0].message.content == 'hello: spell {"text": "hello"}'


def test_queries_are_rolled_out_with_the_tools_of_a_server(tmp_path):
    (tmp_path / "queries.json").write_text(json.dumps([{"query_id": n, "query": f"what {n}?"} for n in range(2)]))
    done = umi.rollout(tmp_path / "queries.json", tmp_path / "run", mcp=STDIO, agent="support.echo_agent:ECHO")
    assert (done.all.answered, done.all.calls, done.all.errors) == (2, 2, 0)
    environment = tmp_path / "env.toml"
    environment.write_text(f"[mcp]\nservers = [{STDIO!r}]\n")
    with pytest.raises(umi.ConfigError, match="named twice"):
        umi.rollout(tmp_path / "queries.json", tmp_path / "other", environment, mcp=STDIO, agent="oracle")

"""The virtual ToolBench on what the published server and its clients really said."""

import asyncio
import json

import pytest

from alpha_umi.environments.access import Access, AccessLimits
from alpha_umi.environments.http import HttpEnvironment, Service
from alpha_umi.formats.tool_json import NAME_LENGTH, Api, standard_name, write_spec
from alpha_umi.serving.virtual_tools.cache import ReplyCache, Row
from alpha_umi.serving.virtual_tools.wire import (
    Asked,
    Reply,
    address_of,
    address_of_api,
    read_input,
    read_published_input,
    read_reply,
    read_request,
)
from alpha_umi.types import Call, Reference
from support.folders import golden_dir
from support.virtual_server import serving


def load(name):
    path = golden_dir("rapidapi") / name
    if not path.exists():
        pytest.skip(f"no {path}")
    return json.loads(path.read_text())


def test_names_are_addresses_as_published():
    """But for one thing: a tool that comes with its category behind it is standardised here, too."""
    compared = 0
    for row in load("server_cases.json")["prepare_tool_name_and_url"]:
        tool, category, api, _ = row["out"]["ok"]
        found = address_of(row["category"], row["tool_name"], row["api_name"])
        assert (found.category, found.tool, found.api) == (
            *(category, standard_name(tool.removesuffix(f"_for_{category}"))),
            api,
        )
        compared += 1
    assert compared


def test_arguments_are_unreadable_where_the_published_server_says_so():
    refused = 0
    for row in load("server_cases.json")["get_rapidapi_response"]["rows"]:
        text = row["tool_input"]
        if "ok" not in row["out"]:
            continue  # it stopped
        said = row["out"]["ok"]["error"] == "Tool input parse error...\n"
        assert (read_published_input(text) is None) == said, row
        if isinstance(text, str) and text != "[]" and "NaN" not in text:  # docs/compat.md
            assert read_input(text) == read_published_input(text), row
        refused += said
    assert refused
    asked = {"category": "c", "tool_name": "t", "api_name": "a", "tool_input": '{"a": NaN, "b": -Infinity}'}
    assert isinstance(read_request(json.dumps(asked).encode(), {}), Reply)
    found = read_request(json.dumps(asked).encode(), {}, compat=Reference.OPENBMB)
    assert isinstance(found, Asked)
    assert found.canonical == '{"a":NaN,"b":-Infinity}'


def recorded():
    """API, arguments and observation of every real call that was recorded whole."""
    for path in sorted(golden_dir("replay_cache").glob("*.jsonl")):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            api, separator, tool = row["function"].partition("_for_")
            text = row["observations"][0]["observation"]
            try:
                reply = read_reply(json.loads(text))
            except ValueError:
                continue  # cut by the client
            arguments = read_input(row["arguments"])
            if separator and len(row["function"]) < NAME_LENGTH and reply is not None and arguments is not None:
                yield Api(category="Real", tool=tool, name=api), row["arguments"], arguments, reply, text


def test_real_observations_come_back_through_the_server_word_for_word(tmp_path):
    cases = [case for case in recorded() if write_spec(case[0]).name == f"{case[0].name}_for_{case[0].tool}"]
    cache = ReplyCache(tmp_path / "replies.sqlite")
    rows = {}
    for api, _, arguments, reply, text in cases:
        row = Row(asked=Asked(address=address_of_api(api), arguments=arguments), reply=reply, source="imported")
        rows.setdefault((row.asked.address, row.asked.canonical), (row, text))
    assert cache.add_all(row for row, _ in rows.values()) == len(rows) > 0
    for row, _ in rows.values():
        assert cache.find(row.asked) == row.reply
    cache.close()

    async def ask(url):
        async with Access(AccessLimits(retries=0)) as access:
            service = Service(url=url, compat=Reference.OPENBMB)
            for api, arguments, decoded, *_ in cases[:: max(1, len(cases) // 40)]:
                environment = HttpEnvironment(service, [api], access)
                seen = await environment.execute(Call(name=write_spec(api).name, arguments=arguments))
                text = rows[address_of_api(api), Asked(address=address_of_api(api), arguments=decoded).canonical][1]
                assert seen.content == text

    with serving(tmp_path / "replies.sqlite") as virtual:
        asyncio.run(ask(f"{virtual.url}/virtual"))
        assert virtual.tools.counts.keys() == {"cache"}

"""A virtual ToolBench over real HTTP: the published clients' requests, and our own environment, unchanged."""

import asyncio

import httpx
import pytest

from alpha_umi.environments.access import Access, AccessLimits
from alpha_umi.environments.http import HttpEnvironment, Service
from alpha_umi.environments.world import WorldEnvironment
from alpha_umi.formats.tool_json import Api
from alpha_umi.types import Call, ToolStatus
from alpha_umi.world import TOOLS, World
from virtual_server import serving, world

CITY = {
    "category": "places",
    "tool_name": "atlas",
    "api_name": "city",
    "tool_input": '{"city": "Paris"}',
    "strip": "truncate",
    "toolbench_key": "",
}


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("cache") / "replies.sqlite", world()) as virtual:
        yield virtual


def post(virtual, path="/virtual", **fields):
    """As the published clients ask: one POST of JSON with the key in a header, too."""
    payload = {**CITY, **fields}
    headers = {"toolbench_key": payload["toolbench_key"]}
    return httpx.post(f"{virtual.url}{path}", json=payload, headers=headers, timeout=20)


def test_the_published_clients_get_a_reply_of_the_published_shape(sealed):
    for path in ("/virtual", "/rapidapi", "/virtual/"):
        for text in ('{"city": "Paris"}', {"city": "Paris"}):
            reply = post(sealed, path, tool_input=text)
            assert (reply.status_code, reply.json().keys()) == (200, {"error", "response"})
            assert reply.json()["response"] == '{"country": "France", "currency": "EUR"}'


@pytest.mark.parametrize(
    "names",
    [
        {"category": "Places", "tool_name": "Atlas", "api_name": "City"},
        {"tool_name": "atlas_for_places"},
        {"api_name": "city_for_atlas"},
    ],
)
def test_names_may_come_as_declared_or_standardised(sealed, names):
    assert post(sealed, **names).json()["response"] == '{"country": "France", "currency": "EUR"}'


def world_apis():
    return [
        Api(category=tool.category, tool=tool.provider, name=name.removesuffix(f"_for_{tool.provider}"))
        for name, tool in TOOLS.items()
    ]


def test_the_world_over_http_is_the_world_word_for_word(sealed):
    """All calls of the oracle, and wrong ones, in tasks with every trouble."""
    here, tasks = World(), [World().task("test", index) for index in range(12)]

    async def check(task, access):
        environment = HttpEnvironment(Service(url=f"{sealed.url}/virtual", key=task.id), world_apis(), access)
        direct = WorldEnvironment(here, task)
        calls = [turn for turn in here.gold(task).turns if isinstance(turn, Call)]
        calls += [Call(name=spec.name, arguments="{}") for spec in task.tools]
        calls += [Call(name=calls[0].name if calls else "city_for_atlas", arguments='{"city": "Nowhere", "x": 1}')]
        for call in calls:
            there, expected = await environment.execute(call), await direct.execute(call)
            assert there.content == expected.content
            assert (there.status is ToolStatus.OK) == (expected.status is ToolStatus.OK)
        return len(calls)

    async def check_all():
        async with Access(AccessLimits(retries=0)) as access:
            return sum([await check(task, access) for task in tasks])

    assert asyncio.run(check_all()) > 20

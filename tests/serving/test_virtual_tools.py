"""A virtual ToolBench over real HTTP: the published clients' requests, and our own environment, unchanged."""

import asyncio
import json

import pytest

from alpha_umi.environments.access import Access, AccessLimits
from alpha_umi.environments.http import HttpEnvironment, Service
from alpha_umi.environments.recording import Recording
from alpha_umi.environments.world import WorldEnvironment
from alpha_umi.serving.virtual_tools.cache import ReplyCache, Row
from alpha_umi.serving.virtual_tools.wire import Asked, Reply, address_of_api
from alpha_umi.types import Call, Observation, ToolStatus
from alpha_umi.world import World
from support.virtual_server import CITY, CLIENT, CLOCK, NOW, post, serving, world, world_apis


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("cache") / "replies.sqlite", world()) as virtual:
        yield virtual


def test_the_published_clients_get_a_reply_of_the_published_shape(sealed):
    for path in ("/virtual", "/rapidapi", "/virtual/"):
        for text in ('{"city": "Paris"}', {"city": "Paris"}):
            reply = post(sealed, path, tool_input=text)
            assert (reply.status_code, reply.json().keys()) == (200, {"error", "response"})
            assert reply.json()["response"] == '{"country": "France", "currency": "EUR"}'


def test_the_library_of_the_published_clients_is_answered(sealed):
    requests = pytest.importorskip("requests")
    payload = {**CITY, "toolbench_key": "a key"}
    reply = requests.post(f"{sealed.url}/virtual", json=payload, headers={"toolbench_key": "a key"}, timeout=60)
    assert reply.status_code == 200
    assert reply.json() == {"error": "", "response": '{"country": "France", "currency": "EUR"}'}


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


def test_the_world_over_http_is_the_world_word_for_word(sealed):
    """All calls of the oracle, and wrong ones, in tasks with every perturbation."""
    here, tasks = World(), [World().task("test", index) for index in range(12)]

    async def check(task, access):
        service = Service(url=f"{sealed.url}/virtual", key=task.id if task.metadata["index"] % 2 else "any")
        environment = HttpEnvironment(service, world_apis(), access, task="" if service.key == task.id else task.id)
        direct = WorldEnvironment(here, task)
        calls = [turn for turn in here.gold(task).turns if isinstance(turn, Call)]
        calls += [Call(name=spec.name, arguments="{}") for spec in task.tools]
        calls += [Call(name=calls[0].name if calls else "city_for_atlas", arguments='{"city": "Nowhere", "x": 1}')]
        for call in calls:
            assert await environment.execute(call) == await direct.execute(call)
        return len(calls)

    async def check_all():
        async with Access(AccessLimits(retries=0)) as access:
            return sum([await check(task, access) for task in tasks])

    assert asyncio.run(check_all()) > 20


def test_requests_that_name_no_task_see_facts_of_no_task(sealed):
    told = {"api_name": "weather", "tool_name": "skycast", "category": "weather"}
    plain = post(sealed, **told).json()
    assert plain["error"] == ""
    moments = {
        post(sealed, **told, toolbench_key=task).text for task in ("tiny-x-test-1", "huge-0-test-1", "a key", "")
    }
    assert moments == {post(sealed, **told).text}
    tasks = [World().task("train", index) for index in range(60)]
    seen = {post(sealed, **told, toolbench_key=task.id).text for task in tasks if offers(task, "weather_for_skycast")}
    assert len(seen) > 2
    assert headed(sealed, tasks[0].id, **told).text == post(sealed, **told, toolbench_key=tasks[0].id).text


def offers(task, name):
    return name in {spec.name for spec in task.tools}


def headed(virtual, task, **fields):
    return CLIENT.post(f"{virtual.url}/virtual", json={**CITY, **fields}, headers={"umi-task": task})


def test_worlds_do_not_mix_in_one_cache(tmp_path):
    told = {"api_name": "share", "tool_name": "tickerly", "category": "money", "tool_input": {"company": "Cobalt"}}
    replies = []
    for seed in (0, 1, 0):
        with serving(tmp_path / "replies.sqlite", world(seed=seed)) as virtual:
            replies.append(post(virtual, **told).text)
            replies.append(post(virtual, **told, toolbench_key="tiny-3-test-1").text)
    assert replies[:2] == replies[4:]
    assert replies[0] != replies[2]
    assert replies[1] == replies[3]


# --- what is no call of a known tool --------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/virtual", "/rapidapi"])
def test_an_unknown_tool_is_told_in_the_protocols_own_words(sealed, path):
    for names in ({"tool_name": "nope"}, {"api_name": ""}, {"tool_name": "", "category": "\ud800\0"}):
        reply = post(sealed, path, **names)
        assert reply.status_code == 200
        assert reply.json()["error"] == "API not working error..."
        assert "there is no API" in reply.json()["response"]


@pytest.mark.parametrize(
    "text", ["not json", "[1]", "5", "null", '"s"', '{"a": ' * 100_000, "[" * 100_000, None, 5, []]
)
def test_arguments_that_cannot_be_read_are_told_as_published(sealed, text):
    reply = post(sealed, tool_input=text)
    assert reply.status_code == 200
    assert reply.json() == {"error": "Tool input parse error...\n", "response": ""}


def test_no_arguments_at_all_are_none(sealed):
    assert "'city' is missing" in post(sealed, tool_input="").json()["error"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 422, "no JSON"),
        (b"\xff", 422, "no JSON"),
        (b"[]", 422, "must be a JSON object"),
        (b'{"category": 5}', 422, "no text under 'category'"),
        (b'{"category": "", "tool_name": "", "api_name": ""}', 422, "no 'tool_input'"),
        (b'"' + b"x" * (1 << 20) + b'"', 413, "larger than"),
    ],
)
def test_what_is_no_request_is_refused_in_words(sealed, body, status, words):
    reply = CLIENT.post(f"{sealed.url}/virtual", content=body)
    assert reply.status_code == status
    assert words in reply.json()["error"]


def test_a_key_that_is_not_accepted_is_told_in_the_protocols_own_words(tmp_path):
    with serving(tmp_path / "replies.sqlite", world(), key="RIGHT") as virtual:
        for key in ("", "WRONG", "é"):
            reply = CLIENT.post(f"{virtual.url}/virtual", json={**CITY, "toolbench_key": key})
            assert reply.json()["error"] == "Unauthorized error..."
        assert post(virtual, toolbench_key="RIGHT").json()["error"] == ""
        headers = {"toolbench_key": "RIGHT"}
        only_header = {name: value for name, value in CITY.items() if name != "toolbench_key"}
        assert CLIENT.post(f"{virtual.url}/virtual", json=only_header, headers=headers).json()["error"] == ""


# --- recordings, documents, strip -----------------------------------------------------------------------


def test_a_recording_is_replayed_word_for_word(tmp_path):
    recording = Recording()
    seen = {
        '{"zone": "utc"}': Observation(content="noon"),
        '{"zone": "cet"}': Observation(content='{"error": "kept", "response": "as text"}'),
        '{"zone": "x"}': Observation(content="Rate limit error... slow down", status=ToolStatus.RATE_LIMITED),
        "{}": Observation(content="", status=ToolStatus.OK),
    }
    for arguments, observation in seen.items():
        recording.add(Call(name="now_for_clock", arguments=arguments), observation)

    async def ask(url):
        environment = HttpEnvironment(Service(url=url, limits=AccessLimits(retries=0)), [CLOCK])
        replies = [await environment.execute(Call(name="now_for_clock", arguments=each)) for each in seen]
        missing = await environment.execute(Call(name="now_for_clock", arguments='{"zone": "other"}'))
        await environment.aclose()
        return replies, missing

    with serving(tmp_path / "replies.sqlite", None, [recording], {address_of_api(CLOCK): CLOCK}) as virtual:
        replies, missing = asyncio.run(ask(f"{virtual.url}/virtual"))
    assert replies == list(seen.values())
    assert missing.status is ToolStatus.ERROR
    assert "no reply of API 'now' of tool 'clock'" in missing.content


def test_strip_shortens_as_published(tmp_path):
    path = tmp_path / "replies.sqlite"
    whole = {"hour": 12, "junk": "j" * 3000, "deep": {"a": "x", "b": 1}}
    cache = ReplyCache(path)
    for zone, response in (("dict", whole), ("text", json.dumps(whole)), ("list", [1] * 2000)):
        asked = Asked(address=address_of_api(CLOCK), arguments={"zone": zone})
        cache.add(Row(asked=asked, reply=Reply(response=response), source="imported"))
    cache.close()
    kept = {"hour": 12, "deep": {"a": "x"}}
    with serving(path, None, apis={address_of_api(CLOCK): CLOCK}) as virtual:

        def get(zone, strip, path="/virtual"):
            return post(virtual, path, **NOW, tool_input={"zone": zone}, strip=strip).json()["response"]

        assert get("dict", "truncate") == whole
        assert get("dict", "filter") == kept
        assert json.loads(get("text", "filter")) == kept
        assert get("list", "filter") == [1] * 2000
        assert {json.dumps(get(zone, "random")) for zone in ("dict",) * 5} <= {json.dumps(whole), json.dumps(kept)}
        assert get("dict", "truncate", "/rapidapi") == json.dumps(whole)[:2048]
        assert get("text", "filter", "/rapidapi") == json.dumps(kept)

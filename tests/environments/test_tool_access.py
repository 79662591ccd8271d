"""Tools over HTTP against a real server: every failure is an observation, every limit holds, keys stay secret."""

import asyncio
import json
import random
import threading
import time
from dataclasses import replace
from itertools import count

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_umi.arguments import Fault
from alpha_umi.environments.access import Access, AccessLimits, Request, TokenBucket
from alpha_umi.environments.budgets import Budget, BudgetedEnvironment, Cut, fit_json, shorten
from alpha_umi.environments.composite import CompositeEnvironment
from alpha_umi.environments.http import HttpEnvironment, Service
from alpha_umi.environments.python import PythonEnvironment, tool
from alpha_umi.environments.rapidapi import RapidApiEnvironment, build_request, load_apis
from alpha_umi.environments.recording import RecordedEnvironment, Recording, RecordingEnvironment
from alpha_umi.errors import ConfigError, DataError, StorageError
from alpha_umi.formats.tool_json import Api, read_api
from alpha_umi.protocols import Environment
from alpha_umi.types import Call, Observation, Reference, ToolSpec, ToolStatus
from support.examples import examples
from support.tool_server import serving

API = Api(category="Data", tool="Clock", name="Now", required=({"name": "zone", "type": "STRING"},))
CALL = Call(name="now_for_clock", arguments='{"zone": "utc"}')
FAST = AccessLimits(timeout_s=60.0, retries=2, first_wait_s=0.01)


def ask(environment, *calls):
    async def run():
        seen = await asyncio.gather(*(environment.execute(call) for call in calls or (CALL,)))
        await environment.aclose()
        return seen

    return asyncio.run(run())


def service(url, **settings):
    return HttpEnvironment(Service(url=url, key="SECRET", limits=settings.pop("limits", FAST), **settings), [API])


def reply(response, error=""):
    return 200, json.dumps({"error": error, "response": response})


# --- the tool service -------------------------------------------------------------------------------------


def test_a_call_is_one_post_of_the_published_shape():
    with serving(lambda _: reply("noon")) as server:
        environment = service(f"{server.url}/rapidapi")
        assert isinstance(environment, Environment)
        assert ask(environment) == [Observation(content="noon")]
    (seen,) = server.seen
    assert (seen.method, seen.path) == ("POST", "/rapidapi")
    assert seen.json == {
        "category": "Data",
        "tool_name": "clock",
        "api_name": "now",
        "tool_input": '{"zone": "utc"}',
        "strip": "truncate",
        "toolbench_key": "SECRET",
    }


@pytest.mark.parametrize(
    ("answer", "observation"),
    [
        (reply({"hour": 12}), Observation(content='{"hour": 12}')),
        (reply("", "Message error..."), Observation(content="Message error...", status=ToolStatus.ERROR)),
        (reply("x", "Message error..."), Observation(content="Message error... x", status=ToolStatus.ERROR)),
        (reply("", "Rate limit error..."), Observation(content="Rate limit error...", status=ToolStatus.RATE_LIMITED)),
        (reply("", "Timeout error..."), Observation(content="Timeout error...", status=ToolStatus.TIMEOUT)),
        (reply("your SECRET"), Observation(content="your [key]")),
    ],
)
def test_replies_read_as_in_the_training_data(answer, observation):
    with serving(lambda _: answer) as server:
        assert ask(service(server.url)) == [observation]


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        ((401, "no SECRET"), ToolStatus.ERROR, "key is refused): no [key]"),
        ((404, ""), ToolStatus.ERROR, "status 404"),
        ((302, "", {"Location": "/elsewhere"}), ToolStatus.ERROR, "status 302"),
        ((429, "slow down"), ToolStatus.RATE_LIMITED, "status 429"),
        ((504, ""), ToolStatus.TIMEOUT, "status 504"),
        ((200, "<html>"), ToolStatus.ERROR, "<html>"),
        ((200, "[" * 100_000), ToolStatus.ERROR, "no reply"),
        ((200, "[]"), ToolStatus.ERROR, "no reply"),
        ((200, '{"other": 1}'), ToolStatus.ERROR, "no reply"),
    ],
)
def test_whatever_a_server_does_is_an_observation(answer, status, words):
    for compat in (None, Reference.OPENBMB):
        with serving(lambda _: answer) as server:
            (seen,) = ask(service(server.url, compat=compat))
        if compat is None:
            assert seen.status is status
            assert words in seen.content
        assert "SECRET" not in seen.content


def test_a_server_that_is_not_there_is_an_observation():
    with serving(lambda _: reply("")) as server:
        pass
    (seen,) = ask(service(server.url))
    assert seen.status is ToolStatus.ERROR
    assert "cannot be reached" in seen.content


def test_a_hanging_server_is_a_timeout():
    over = threading.Event()

    def hang(_):
        over.wait(60)
        return reply("late")

    with serving(hang) as server:
        (seen,) = ask(service(server.url, limits=replace(FAST, timeout_s=0.05, retries=0)))
        over.set()
    assert seen.status is ToolStatus.TIMEOUT


def test_what_passes_is_tried_again_and_what_is_asked_for_is_waited():
    turns = count()

    def flaky(_):
        return [(503, ""), (429, "", {"Retry-After": "0"}), reply("noon")][next(turns)]

    with serving(flaky) as server:
        assert ask(service(server.url)) == [Observation(content="noon")]
    assert len(server.seen) == 3


def test_arguments_that_are_no_json_object_are_not_sent():
    for text in ("not json", "[1]", "", "null", '{"a": NaN}'):
        (seen,) = ask(service("http://127.0.0.1:9/"), replace(CALL, arguments=text))
        assert seen.status is ToolStatus.BAD_ARGUMENTS


def test_no_more_run_at_once_than_a_host_may_be_asked():
    def slow(_):
        time.sleep(0.02)
        return reply("")

    with serving(slow) as server:
        ask(service(server.url, limits=replace(FAST, concurrency=3)), *[CALL] * 12)
    assert server.most <= 3
    assert len(server.seen) == 12


def test_requests_start_at_the_allowed_rate():
    with serving(lambda _: reply("")) as server:
        started = time.monotonic()
        ask(service(server.url, limits=replace(FAST, per_second=20.0, burst=2)), *[CALL] * 12)
    assert max(seen.at for seen in server.seen) - started >= 0.49  # 10 after the burst of 2 take 0.5 s


def test_a_bucket_fills_up_to_its_burst():
    async def run():
        now = [0.0]
        bucket = TokenBucket(rate=1000.0, burst=3, clock=lambda: now[0])
        now[0] = 100.0
        await asyncio.gather(*(bucket.take() for _ in range(4)))
        return bucket._tokens

    assert asyncio.run(run()) == -1.0


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://x/", "http://[bad"])
def test_an_address_that_cannot_be_asked_is_refused(url):
    with pytest.raises(ConfigError, match="tool service"):
        Service(url=url)


def test_a_request_that_may_have_arrived_is_not_repeated_unless_it_may_be():
    async def run(repeatable):
        async with Access(FAST) as access:
            return await access.send(Request(method="POST", url=server.url), repeatable=repeatable)

    with serving(lambda _: (503, "")) as server:
        assert isinstance(asyncio.run(run(False)), httpx2.Response)
        assert len(server.seen) == 1
        asyncio.run(run(True))
        assert len(server.seen) == 4


# --- RapidAPI ---------------------------------------------------------------------------------------------


def declared(url, method="GET", required=("id",), optional=("page size", "q")):
    return read_api(
        {
            "name": "Find",
            "url": url,
            "method": method,
            "required_parameters": [{"name": name, "type": "STRING"} for name in required],
            "optional_parameters": [{"name": name, "type": "STRING"} for name in optional],
        },
        {"tool_name": "Shop", "host": "shop.example"},
        "Commerce",
    )


FIND = "find_for_shop"


def test_a_request_is_built_from_what_is_declared():
    with serving(lambda _: (200, "[1, 2]")) as server:
        environment = RapidApiEnvironment([declared(f"{server.url}/items/{{id}}?v=1")], key="RK")
        assert isinstance(environment, Environment)
        arguments = {"is_id": "7/../8", "page_size": 5, "q": "a&b=c #é"}
        (seen,) = ask(environment, Call(name=FIND, arguments=json.dumps(arguments)))
    assert seen == Observation(content="[1, 2]")
    (request,) = server.seen
    assert request.path.startswith("/items/7%2F..%2F8?")
    sent = dict(httpx2.URL(f"http://x{request.path}").params)
    assert sent["page size"] == "5"
    assert sent["q"] == "a&b=c #é"
    assert request.headers["X-RapidAPI-Host"] == "shop.example"


TEXT = st.one_of(
    st.text(max_size=20), st.sampled_from(["..", ".", "/", "@evil.example", "\r\nX: y", "?x=1", "#", "%2e"])
)


@settings(max_examples=examples(200), deadline=None)
@given(identity=TEXT, query=TEXT)
def test_no_argument_leaves_its_place_in_the_address(identity, query):
    api = declared("https://shop.example/items/{id}/price")
    request = build_request(api, json.dumps({"is_id": identity, "q": query}))
    if identity in (".", ".."):
        assert isinstance(request, Fault)
        return
    url = httpx2.URL(request.url, params=dict(request.params))
    assert (url.scheme, url.host) == ("https", "shop.example")
    parts = url.raw_path.decode().partition("?")[0].split("/")
    assert parts[:2] + parts[3:] == ["", "items", "price"]
    assert dict(url.params) == {"q": query}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [("{}", "'is_id' is missing"), ('{"is_id": "1", "other": 2}', "'other' is unknown"), ("x", "not JSON")],
)
def test_arguments_that_are_not_the_declared_ones_are_not_sent(arguments, words):
    environment = RapidApiEnvironment([declared("http://127.0.0.1:9/")], key="RK")
    (seen,) = ask(environment, Call(name=FIND, arguments=arguments))
    assert seen.status is ToolStatus.BAD_ARGUMENTS
    assert words in seen.content
    assert ask(environment, Call(name="find", arguments="{}"))[0].status is ToolStatus.UNKNOWN_TOOL


def test_apis_that_cannot_be_called_safely_are_refused():
    with pytest.raises(ConfigError, match="needs a key"):
        RapidApiEnvironment([declared("https://shop.example/")], key="")
    for url, words in (("", "no 'url'"), ("file:///etc/passwd", "no 'url'"), ("https://{id}.example/", "the host")):
        with pytest.raises(DataError, match=words):
            RapidApiEnvironment([declared(url)], key="RK")
    with pytest.raises(DataError, match="method 'TRACE'"):
        RapidApiEnvironment([declared("https://shop.example/", method="TRACE")], key="RK")


@pytest.mark.parametrize(("text", "words"), [("{", "broken JSON"), ("{}", "no 'api_list'"), ("[]", "no 'api_list'")])
def test_a_tool_file_that_cannot_be_used_is_named(tmp_path, text, words):
    path = tmp_path / "Data" / "clock.json"
    path.parent.mkdir()
    path.write_text(text)
    for place in (path, tmp_path):
        with pytest.raises(DataError, match=words):
            load_apis(place)


def test_a_broken_tool_file_among_others_is_named_and_the_others_are_loaded(tmp_path, caplog):
    folder = tmp_path / "Sea"
    folder.mkdir()
    for name in ("a", "z"):
        (folder / f"{name}.json").write_text(json.dumps({"tool_name": name, "api_list": [{"name": f"of {name}"}]}))
    (folder / "m.json").write_text("{")
    assert [api.name for api in load_apis(tmp_path)] == ["of a", "of z"]
    assert "m.json:1:2: broken JSON" in caplog.text


def test_lists_of_a_tool_file_may_be_json_texts(tmp_path):
    path = tmp_path / "t.json"
    parameter = {"name": "port", "type": "STRING", "description": "which"}
    plain = {"name": "tide", "required_parameters": [parameter], "optional_parameters": []}
    texts = {**plain, "required_parameters": json.dumps([parameter]), "optional_parameters": "[]"}
    nested = {**plain, "required_parameters": [json.dumps(parameter)]}
    path.write_text(json.dumps({"tool_name": "Sea", "api_list": [plain, texts, nested]}))
    first, *others = load_apis(path)
    assert [dict(each) for each in first.required] == [parameter]
    assert others == [first, first]
    path.write_text(json.dumps({"tool_name": "Sea", "api_list": json.dumps([texts])}))
    assert load_apis(path) == [first]
    path.write_text(json.dumps({"tool_name": "Sea", "api_list": [{**plain, "required_parameters": "none"}]}))
    assert load_apis(path)[0].required == ()


def test_missing_tool_files_are_named(tmp_path):
    with pytest.raises(DataError, match="holds no tool JSON"):
        load_apis(tmp_path)
    with pytest.raises(DataError, match=r"nowhere.json: no such file"):
        load_apis(tmp_path / "nowhere.json")


# --- recordings -------------------------------------------------------------------------------------------


@tool
def clock(zone: str, offset: int = 0) -> str:
    """Tells the time."""
    if zone == "broken":
        raise ValueError(zone)
    return f"{zone} {next(TICKS)}"


TICKS = count()


def test_what_is_recorded_is_replayed_however_it_is_written(tmp_path):
    path = tmp_path / "deep" / "tape.jsonl"
    live = RecordingEnvironment(PythonEnvironment([clock]), Recording(path))
    first = asyncio.run(live.execute(Call(name="clock", arguments='{"zone": "utc", "offset": 1}')))
    again = Call(name="clock", arguments='{ "offset":1,"zone":"utc" }')
    assert asyncio.run(live.fork().execute(again)) == first
    broken = Call(name="clock", arguments='{"zone": "broken"}')
    failed = asyncio.run(live.execute(broken))
    replayed = RecordedEnvironment(live.tools, Recording(path))
    assert isinstance(replayed, Environment)
    assert asyncio.run(replayed.execute(again)) == first
    assert asyncio.run(replayed.execute(broken)) == failed
    assert asyncio.run(replayed.execute(Call(name="clock", arguments="{}"))).status is ToolStatus.ERROR
    assert asyncio.run(replayed.execute(Call(name="clocks", arguments="{}"))).status is ToolStatus.UNKNOWN_TOOL


def test_a_tape_cut_in_the_middle_of_a_line_goes_on(tmp_path):
    path = tmp_path / "tape.jsonl"
    for number in range(3):
        Recording(path).add(Call(name="a", arguments=f"[{number}]"), Observation(content=str(number)))
    path.write_bytes(path.read_bytes()[:-9])
    cut = Recording(path)
    assert len(cut) == 2
    cut.add(Call(name="a", arguments="[9]"), Observation(content="nine"))
    assert len(Recording(path)) == 3


def test_a_tape_that_cannot_be_used_is_named(tmp_path):
    path = tmp_path / "tape.jsonl"
    path.write_text('{"name": "a"}\n')
    with pytest.raises(DataError, match=r"tape.jsonl:1"):
        Recording(path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        Recording(tmp_path / "file" / "tape").add(CALL, Observation(content=""))


def test_timeouts_and_rate_limits_are_not_recorded():
    answers = iter([ToolStatus.TIMEOUT, ToolStatus.RATE_LIMITED, ToolStatus.OK])

    class Moody:
        tools = (ToolSpec(name="a"),)

        async def execute(self, call):
            return Observation(content="", status=next(answers))

    live = RecordingEnvironment(Moody(), Recording())
    seen = [asyncio.run(live.execute(CALL)).status for _ in range(4)]
    assert seen == [ToolStatus.TIMEOUT, ToolStatus.RATE_LIMITED, ToolStatus.OK, ToolStatus.OK]


# --- several at once --------------------------------------------------------------------------------------


def test_tools_of_several_environments_are_run_where_they_are_from():
    @tool
    def greet(name: str) -> str:
        """Greets."""
        return f"hello {name}"

    with serving(lambda _: reply("noon")) as server:
        remote = service(server.url)
        both = CompositeEnvironment([remote, PythonEnvironment([greet])]).fork()
        both.aclose = remote.aclose
        assert [spec.name for spec in both.tools] == ["now_for_clock", "greet"]
        calls = [CALL, Call(name="greet", arguments='{"name": "you"}'), Call(name="now", arguments="{}")]
        noon, hello, unknown = ask(both, *calls)
    assert (noon.content, hello.content, unknown.status) == ("noon", "hello you", ToolStatus.UNKNOWN_TOOL)
    with pytest.raises(ConfigError, match="'greet'"):
        CompositeEnvironment([PythonEnvironment([greet]), PythonEnvironment([greet])])


# --- budgets ----------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=6), inner, max_size=8),
    max_leaves=40,
)


def values_of(value):
    if isinstance(value, dict):
        return {text for item in value.values() for text in values_of(item)}
    if isinstance(value, list):
        return {text for item in value for text in values_of(item)}
    return {json.dumps(value)}


@settings(max_examples=examples(80), deadline=None)
@given(value=JSON.filter(lambda value: isinstance(value, dict | list)), room=st.integers(2, 200))
def test_a_shortened_json_is_json_of_the_same_kind_with_only_whole_values_of_it(value, room):
    short = fit_json(json.dumps(value), room)
    assert len(short) <= room
    read = json.loads(short)
    assert type(read) is type(value)
    added = {text for text in values_of(read) - values_of(value) if not text.endswith(' left out"')}
    assert not added


@given(text=st.text(), room=st.integers(0, 80))
def test_no_text_is_longer_than_its_budget(text, room):
    assert len(fit_json(text, room)) <= room or room >= len(text)
    assert fit_json(text, len(text)) == text


def test_the_first_entries_are_kept_and_the_rest_is_counted():
    items = json.dumps({"items": [{"id": number, "name": "x" * 10} for number in range(50)], "total": 50})
    short = json.loads(fit_json(items, 200))
    assert short["items"][0] == {"id": 0, "name": "xxxxxxxxxx"}
    assert short["items"][-1].endswith("left out")


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(10**8, 10**9), min_size=4), st.integers(45, 60))
def test_entries_that_fit_are_kept(value, room):
    assert set(json.loads(fit_json(json.dumps(value), room))) & set(value)


def test_budgets_wrap_any_environment():
    @tool
    def long(words: int) -> str:
        """Speaks."""
        return json.dumps({"a": ["word"] * words, "b": 1})

    inner = PythonEnvironment([long])
    call = Call(name="long", arguments='{"words": 100}')
    whole = BudgetedEnvironment(inner, Budget(max_chars=60)).fork()
    assert json.loads(asyncio.run(whole.execute(call)).content)["a"][0] == "word"
    cut = BudgetedEnvironment(inner, Budget(cut=Cut.TRUNCATE, max_chars=60))
    assert asyncio.run(cut.execute(call)).content == '{"a": [' + ('"word", ' * 9)[:53] + "..."
    kept = BudgetedEnvironment(inner, Budget(cut=Cut.FILTER, schemas={"long": {"b": "int"}}))
    assert asyncio.run(kept.execute(call)).content == '{"b": 1}'
    assert shorten("plain text", Budget(cut=Cut.FILTER, schemas={"": {"b": "int"}})) == "plain text"


# --- as published -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("reference", [Reference.ALPHA_UMI, Reference.OPENBMB])
def test_a_service_without_a_reply_is_told_as_published_after_one_request(reference):
    def hang_up(_):
        raise ConnectionAbortedError

    with serving(hang_up) as server:
        for compat, requests in ((reference, 1), (None, 1 + FAST.retries)):
            before = len(server.seen)
            (seen,) = ask(service(server.url, compat=compat))
            assert len(server.seen) - before == requests
            published = json.dumps({"error": "request time out", "response": ""})
            assert (seen.content == published) == (compat is not None)
            assert seen.status is not ToolStatus.OK


def test_chance_decides_as_on_the_published_server_by_its_second_draw():
    budget = Budget(cut=Cut.RANDOM, max_chars=100, schemas={"t": {"kept": "int"}})
    for seed in range(40):
        draws = random.Random(seed)
        kept = '{"kept": 1}' if [draws.random(), draws.random()][1] > 0.5 else '{"kept": 1, "left": 2}'
        assert shorten('{"kept": 1, "left": 2}', budget, "t", random.Random(seed)) == kept

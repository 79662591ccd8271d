"""The virtual ToolBench as a server: faults on purpose, a model that simulates, the command."""

import asyncio
import json
import signal
import socket
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_umi.config import EndpointConfig
from alpha_umi.environments.access import Access, AccessLimits
from alpha_umi.environments.http import HttpEnvironment, Service
from alpha_umi.errors import ConfigError
from alpha_umi.formats.prompts.simulator import Example, Simulation, read_simulation, write_simulation
from alpha_umi.loading.judges import open_simulator
from alpha_umi.serving.virtual_tools.cache import ReplyCache, Row
from alpha_umi.serving.virtual_tools.faults import Kind, read_faults
from alpha_umi.serving.virtual_tools.simulators import Actor, ModelSimulator
from alpha_umi.serving.virtual_tools.wire import Asked, Reply, address_of_api
from alpha_umi.types import Call, Sampling, ToolStatus
from support.commands import ended, run_here, start
from support.endpoint_server import Reply as EndpointReply
from support.endpoint_server import chat_reply
from support.endpoint_server import serving as serving_model
from support.examples import examples
from support.virtual_server import CITY, CLIENT, CLOCK, NOW, post, serving, world, world_apis
from support.waiting import eventually

CITIES = ("Athens", "Berlin", "Cairo", "Dublin", "Lima", "Oslo", "Paris", "Rome", "Tokyo", "Vienna")


# --- faults ---------------------------------------------------------------------------------------------


def outcomes(virtual, count, client):
    return [
        (reply.status_code, reply.headers.get("Retry-After"), reply.text)
        for reply in (
            client.post(f"{virtual.url}/virtual", json={**CITY, "tool_input": {"n": n}}) for n in range(count)
        )
    ]


def test_faults_are_the_same_for_the_same_seed_and_of_every_kind(tmp_path):
    spec, runs = "latency=0.2:0.001,429=0.2:7,5xx=0.2,broken=0.2", []
    for seed in (1, 1, 2):
        with (
            serving(tmp_path / "replies.sqlite", world(), faults=read_faults(spec, seed)) as virtual,
            httpx2.Client(timeout=60) as client,
        ):
            runs.append(outcomes(virtual, 40, client))
            dealt = client.get(f"{virtual.url}/health").json()["faults"]
    assert runs[0] == runs[1] != runs[2]
    assert {status for status, *_ in runs[0]} == {200, 429, 500, 502, 503, 504}
    assert {after for status, after, _ in runs[0] if status == 429} == {"7"}
    broken = [text for status, _, text in runs[2] if status == 200 and not readable(text)]
    assert len(broken) == dealt["broken"] > 0
    assert dealt.keys() == {"latency", "429", "5xx", "broken"}


def readable(text):
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def test_a_request_that_hangs_ends_with_its_client_and_with_the_server(tmp_path):
    faults = read_faults("hang=1")
    with serving(tmp_path / "replies.sqlite", world(), faults=faults) as virtual:
        while not faults.dealt.get("hang"):  # a busy server may not have read what was given up so soon
            with pytest.raises(httpx2.ReadTimeout):
                CLIENT.post(f"{virtual.url}/virtual", json=CITY, timeout=httpx2.Timeout(60, read=0.2))
        given_up = faults.dealt["hang"]
        waiting = ThreadPoolExecutor(1).submit(post, virtual)
        eventually(lambda: faults.dealt["hang"] > given_up)
        assert not waiting.done()
    assert waiting.result(60).status_code == 504


def test_what_is_asked_again_may_get_through(tmp_path):
    """Our own environment, whose retries see other faults than the first try."""

    async def ask(url):
        limits = AccessLimits(timeout_s=60, retries=8, first_wait_s=0.001, longest_wait_s=0.001)
        async with Access(limits) as access:
            environment = HttpEnvironment(Service(url=url, limits=limits), world_apis(), access)
            calls = [Call(name="city_for_atlas", arguments=json.dumps({"city": city})) for city in CITIES]
            return await asyncio.gather(*(environment.execute(call) for call in calls))

    with serving(tmp_path / "replies.sqlite", world(), faults=read_faults("429=0.4")) as virtual:
        seen = asyncio.run(ask(f"{virtual.url}/virtual"))
    assert {each.status for each in seen} == {ToolStatus.OK}


@settings(max_examples=examples(20), deadline=None)
@given(shares=st.lists(st.floats(0, 0.2), min_size=5, max_size=5), seed=st.integers(0, 2**32))
def test_every_fault_comes_about_as_often_as_it_is_asked_for(shares, seed):
    spec = ",".join(f"{kind.value}={share}" for kind, share in zip(Kind, shares, strict=True))
    faults = read_faults(spec, seed)
    address = address_of_api(CLOCK)
    for number in range(400):
        faults.deal(Asked(address=address, arguments={"n": number % 40}))
    for kind, share in zip(Kind, shares, strict=True):
        assert abs(faults.dealt[kind.value] / 400 - share) < 0.12


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("latency", "is no KIND=SHARE"),
        ("slow=0.1", "kinds: latency, 429, 5xx, broken, hang, all"),
        ("429=x", "'x' is no number"),
        ("429=nan", "'nan' is no number"),
        ("hang=-1", "'-1' is no number"),
        ("5xx=0.1:3", "5xx takes no seconds"),
        ("429=0.6,hang=0.6", "add up to 1.2"),
    ],
)
def test_a_fault_that_cannot_be_read_is_named(spec, words):
    with pytest.raises(ConfigError, match=words):
        read_faults(spec)


def test_all_is_every_kind_alike():
    assert {share.share for share in read_faults("all=0.3").shares.values()} == {0.06}
    assert read_faults("all=0.3,hang=0").shares[Kind.HANG].share == 0


# --- simulated by a model -------------------------------------------------------------------------------


def cached(virtual):
    return CLIENT.get(f"{virtual.url}/health").json()["cached"]


def simulator(url):
    loaded = open_simulator(EndpointConfig(base_url=url, model="m", timeout_s=60))
    actor = Actor(model=loaded.model, name="m", sampling=Sampling(max_tokens=64), close=loaded.aclose)
    return ModelSimulator(actor, {address_of_api(CLOCK): CLOCK})


def test_a_model_replies_once_and_the_cache_from_then_on(tmp_path):
    path, noon = tmp_path / "replies.sqlite", chat_reply('```json\n{"error": "", "response": {"hour": 12}}\n```')
    cache = ReplyCache(path)
    asked = Asked(address=address_of_api(CLOCK), arguments={"zone": "cet"})
    cache.add(Row(asked=asked, reply=Reply(response={"hour": 13}), source="imported"))
    cache.close()
    with serving_model(EndpointReply(body=noon, after_s=0.1)) as endpoint:
        with serving(path, simulator(endpoint.url)) as virtual, ThreadPoolExecutor(8) as pool:
            said = pool.map(lambda _: post(virtual, **NOW, tool_input={"zone": "utc"}).json(), range(8))
            assert list(said) == [{"error": "", "response": {"hour": 12}}] * 8
        assert len(endpoint.received) == 1
        with serving(path, simulator(endpoint.url)) as virtual:
            assert post(virtual, **NOW, tool_input={"zone": "utc"}).json()["response"] == {"hour": 12}
            assert post(virtual, **{**NOW, "api_name": "other"}).json()["error"] == "API not working error..."
            assert cached(virtual) == {"imported": 1, "model:m": 1}
    assert len(endpoint.received) == 1
    prompt = endpoint.received[0].body["messages"][1]["content"]
    for told in ("Clock", "Now", '"zone": "cet"} -> {"hour": 13}', '{"zone": "utc"}'):
        assert told in prompt
    assert endpoint.received[0].body["response_format"]["json_schema"]["schema"]["required"] == ["error", "response"]


def test_a_model_that_writes_no_reply_is_asked_again_and_its_failure_is_not_kept(tmp_path):
    replies = [EndpointReply(body=chat_reply(text)) for text in ("no", "{}", "{", '{"error": "", "response": "noon"}')]
    with (
        serving_model(*replies) as endpoint,
        serving(tmp_path / "replies.sqlite", simulator(endpoint.url)) as virtual,
    ):
        failed = post(virtual, **NOW, tool_input={"zone": "utc"}).json()
        assert failed["error"] == "API not working error..."
        assert "wrote no reply in 3 tries" in failed["response"]
        assert endpoint.received[1].body["messages"][-2] == {"role": "assistant", "content": "no"}
        assert post(virtual, **NOW, tool_input={"zone": "utc"}).json() == {"error": "", "response": "noon"}


def test_a_simulator_that_refuses_its_key_is_told_and_not_kept(tmp_path):
    refused = EndpointReply(status=401, body="no")
    with (
        serving_model(refused) as endpoint,
        serving(tmp_path / "replies.sqlite", simulator(endpoint.url)) as virtual,
    ):
        reply = post(virtual, **NOW, tool_input={"zone": "utc"})
        assert reply.status_code == 200
        assert "wants a key and got none" in reply.json()["response"]
        assert cached(virtual) == {}


@settings(max_examples=examples(60), deadline=None)
@given(text=st.text() | st.sampled_from(["{", '{"error":', '{"response": {"a": [']).map(lambda part: part * 50))
def test_any_completion_is_a_reply_or_none(text):
    read_simulation(text)
    for error, response in ((text, [text]), ("", {text: None})):
        written = json.dumps({"error": error, "response": response})
        assert read_simulation(f"Sure:\n```json\n{written}\n```") == Simulation(error=error, response=response)


@settings(max_examples=examples(20), deadline=None)
@given(examples=st.lists(st.tuples(st.dictionaries(st.text(), st.text()), st.text(max_size=9000)), max_size=30))
def test_a_simulation_prompt_stays_short(examples):
    shown = [Example(arguments=arguments, response=response) for arguments, response in examples]
    prompt = write_simulation(CLOCK, {"zone": "utc"}, shown)
    assert sum(len(message.content) for message in prompt) < 12_000


# --- the command ----------------------------------------------------------------------------------------


def started(tmp_path, *options):
    process = start("world", "serve", "--port", "0", *options, cwd=tmp_path)
    return process, process.stdout.readline().strip()


def test_the_server_prints_its_port_and_ends_gracefully_on_ctrl_c(tmp_path):
    process, url = started(tmp_path, "--cache", "replies.sqlite", "--faults", "latency=1:0.5")
    health = url.replace("/virtual", "/health")
    try:
        assert CLIENT.get(health).json()["status"] == "ok"
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(CLIENT.post, url, json=CITY)
            eventually(lambda: CLIENT.get(health).json()["faults"].get("latency"))
            process.send_signal(signal.SIGINT)
            assert waiting.result(60).json()["error"] == ""
        done = ended(process)
    finally:
        process.kill()
    assert (done.code, done.out, done.err) == (0, "stopped; replies: 1 simulator\n", "")


@pytest.mark.slow
def test_a_full_disk_is_told_and_what_was_kept_is_still_there(tmp_path):
    process = start("world", "serve", "--port", "0", "--cache", "c.sqlite", cwd=tmp_path, file_bytes=100_000)
    try:
        url = process.stdout.readline().strip()
        said = [CLIENT.post(url, json={**CITY, "tool_input": {"city": "x" * 5000 + str(n)}}) for n in range(40)]
        assert {reply.status_code for reply in said} == {200, 503}
        assert "is the disk full" in next(reply for reply in said if reply.status_code == 503).json()["error"]
        assert CLIENT.post(url, json={**CITY, "tool_input": {"city": "x" * 5000 + "0"}}).text == said[0].text
    finally:
        process.kill()
        ended(process)
    kept = sum(reply.status_code == 200 for reply in said)
    cache = ReplyCache(tmp_path / "c.sqlite")
    assert sum(cache.count().values()) == kept
    cache.close()


def test_a_port_that_is_taken_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run_here("world", "serve", "--port", port, cwd=tmp_path)
    assert done.code == 2
    assert f"cannot listen on port {port} of 127.0.0.1: another program listens there" in done.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--simulator", "gpt"], "--simulator 'gpt' is not known"),
        (["--simulator", "http://127.0.0.1:9/v1"], "name the model there by --model"),
        (["--simulator", "http://127.0.0.1:9/v1", "--model", "m"], "name their folder by --tools"),
        (["--faults", "x"], "is no KIND=SHARE"),
        (["--replay", "none.jsonl"], "none.jsonl: no such recording"),
        (["--tools", "none"], "none: no such file"),
        (["--preset", "huge"], "unknown world preset"),
        (["--key-env", "UMI_NO_SUCH_KEY"], "that environment variable is not set"),
    ],
)
def test_an_option_that_cannot_be_served_is_named(tmp_path, options, words):
    done = run_here("world", "serve", "--port", "0", *options, cwd=tmp_path)
    assert done.code
    assert words in done.err


@pytest.mark.slow
def test_two_servers_that_share_a_cache_agree_though_both_are_killed(tmp_path):
    texts = [json.dumps({"error": "", "response": number}) for number in range(400)]
    (tmp_path / "tools" / "Data").mkdir(parents=True)
    declared = {"tool_name": "Clock", "api_list": [{"name": "Now"}]}
    (tmp_path / "tools" / "Data" / "clock.json").write_text(json.dumps(declared))
    with serving_model(*(EndpointReply(body=chat_reply(text)) for text in texts)) as endpoint:
        options = ["--cache", "c.sqlite", "--tools", "tools", "--simulator", endpoint.url, "--model", "m"]
        servers = [started(tmp_path, *options) for _ in range(2)]

        def ask(number):
            url = servers[number % 2][1]
            return CLIENT.post(url, json={**CITY, **NOW, "tool_input": {"n": number // 4}}).json()

        with ThreadPoolExecutor(8) as pool:
            said = list(pool.map(ask, range(80)))
        for process, _ in servers:
            process.kill()
            ended(process)
        assert all(len({each["response"] for each in said[at : at + 4]}) == 1 for at in range(0, 80, 4))
        process, url = started(tmp_path, "--cache", "c.sqlite", "--simulator", "none")
        again = [CLIENT.post(url, json={**CITY, **NOW, "tool_input": {"n": n}}).json() for n in range(20)]
        process.kill()
        ended(process)
    assert again == said[::4]

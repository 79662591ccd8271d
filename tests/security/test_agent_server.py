"""`umi serve` under attack: no request is an error of the server's own, and none makes it deaf or talkative."""

import json
import random
import socket
import time

import httpx2
import pytest

from alpha_umi.errors import ConfigError
from alpha_umi.serving.endpoint.start import accepted_key, read_options
from support.agent_server import serving
from support.coded_agents import Echo
from support.waiting import eventually

ECHO = {
    "type": "function",
    "function": {"name": "echo", "parameters": {"type": "object", "properties": {"text": {"type": "string"}}}},
}


def tool(parameters):
    return {"type": "function", "function": {"name": "echo", "parameters": parameters}}


CALL = {"id": "c1", "type": "function", "function": {"name": "echo", "arguments": "{}"}}
CHAT = {
    "model": "agent",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "hello"}]},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "seen"},
    ],
    "tools": [ECHO],
    "tool_choice": "auto",
    "stop": ["x"],
    "temperature": 0.5,
}
RESPONSES = {
    "model": "agent",
    "input": [
        {"role": "user", "content": "hello"},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "so"}]},
        {"type": "function_call", "call_id": "c1", "name": "echo", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "seen"},
    ],
    "instructions": "Be brief.",
    "tools": [{"type": "function", **ECHO["function"]}],
    "text": {"format": {"type": "text"}},
}
RUN = {
    "turns": [
        {"turn": "user", "text": "hello"},
        {"turn": "plan", "thought": "so", "decision": "call"},
        {"turn": "call", "name": "echo", "arguments": "{}"},
        {"turn": "observation", "content": "seen", "status": "ok"},
    ],
    "tools": [ECHO],
    "strategy": "dfsdt",
    "temperature": 0.5,
    "seed": 1,
}
DECISION = {"approve": True}
ODD = (
    None,
    1,
    -1,
    0,
    1.5,
    10**400,
    True,
    "",
    "\ud800",
    "x" * 5000,
    "\x00",
    [],
    [[]],
    {},
    {"type": "x"},
    [None],
    "final",
)


REQUESTS = (
    ("/v1/chat/completions", CHAT),
    ("/v1/responses", RESPONSES),
    ("/runs", RUN),
    ("/runs/approvals/mcpr_1", DECISION),
)


class Failing:
    """Fails with words that nobody may read."""

    async def propose(self, task, turns):
        raise RuntimeError("secret of /home/me")


@pytest.fixture(scope="module")
def echo():
    with serving(Echo(), body_s=1.0, max_body_bytes=100_000) as served:
        yield served


def places(value, path=()):
    yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*path, key))


def changed(document, rng):
    """The document with something of it replaced, left out or added."""
    document = json.loads(json.dumps(document))
    *to, last = rng.choice([path for path in places(document) if path] or [("x",)])
    inner = document
    for key in to:
        inner = inner[key]
    if rng.random() < 0.2:
        inner.pop(last, None) if isinstance(inner, dict) else inner.pop(last)
    elif isinstance(inner, dict) and rng.random() < 0.2:
        inner[rng.choice(["n", "seed", "stream", "tools", "logprobs", "content", "x"])] = rng.choice(ODD)
    else:
        inner[last] = rng.choice(ODD)
    return document


@pytest.mark.parametrize("count", [300, pytest.param(3000, marks=pytest.mark.slow)])
def test_no_hostile_request_is_an_error_of_the_servers_own(echo, count):
    rng, statuses = random.Random(7), set()
    with httpx2.Client(timeout=30, headers={"content-type": "application/json"}) as client:
        for _ in range(count):
            path, document = rng.choice(REQUESTS)
            for _ in range(rng.choice([1, 1, 2, 4])):
                document = changed(document, rng)
            body = json.dumps(document).encode()
            if rng.random() < 0.1:
                at = rng.randrange(len(body))
                body = body[:at] + bytes(rng.randrange(256) for _ in range(3)) + body[at + 2 :]
            said = client.post(echo.root + path, content=body)
            statuses.add(said.status_code)
            if said.status_code != 200:
                error = said.json()["error"]
                assert set(error) == {"message", "type", "param", "code"}
                assert error["message"]
                assert "Traceback" not in said.text
                assert "alpha_umi" not in said.text
    assert {200, 400} <= statuses <= {200, 400, 404}
    assert echo.routes.in_progress == 0


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"[" * 100_001, {}, 413),
        (b"[" * 50_000, {}, 400),
        (json.dumps(CHAT).encode(), {"content-type": "text/plain"}, 415),
        (json.dumps(CHAT).encode(), {"content-type": "", "origin": "http://localhost:3000"}, 415),
        (json.dumps(CHAT).encode(), {"host": "evil.example"}, 403),
        (json.dumps(CHAT).encode(), {"origin": "https://evil.example"}, 403),
        (json.dumps({**CHAT, "model": "gpt-5"}).encode(), {}, 404),
        (json.dumps({**CHAT, "tools": [tool({"type": 1})]}).encode(), {}, 400),
        (json.dumps({**CHAT, "tools": [tool({"type": "object", "properties": "text"})]}).encode(), {}, 400),
    ],
)
def test_a_request_that_cannot_be_served_is_refused_in_openais_shape(echo, body, headers, status):
    headers = {"content-type": "application/json", **headers}
    said = httpx2.post(f"{echo.url}/chat/completions", content=body, headers=headers, timeout=30)
    assert said.status_code == status
    assert set(said.json()["error"]) == {"message", "type", "param", "code"}
    assert "access-control-allow-origin" not in said.headers


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tool_choice": "nope"}, "tool_choice"),
        ({"tool_choice": {"function": {"name": ""}}}, "tool_choice.function.name"),
        ({"tool_choice": {"function": {}}}, "tool_choice.function.name"),
        ({"stop": ["a", 1]}, "stop.1"),
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": 1}}},
         "response_format.json_schema.schema"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_field_as_the_client_wrote_it(echo, fields, param):
    assert echo.chat("hello", **fields).json()["error"]["param"] == param


@pytest.mark.parametrize(
    "items", [[], [{"type": "function_call_output", "call_id": "unknown", "output": "9 C"}], [{"role": "king"}]]
)
def test_a_refusal_of_the_responses_api_names_the_input(echo, items):
    error = echo.post("/responses", model=echo.routes.served.name, input=items).json()["error"]
    assert error["param"] == "input"
    assert "messages[" not in error["message"]


@pytest.mark.parametrize("parameters", [None, {}, {"type": "object"}, {"type": "object", "properties": {}}])
def test_a_tool_without_arguments_is_called_without_any(echo, parameters):
    said = echo.chat("hello", tools=[tool(parameters)])
    assert said.status_code == 200, said.text
    assert said.json()["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == "{}"


def test_unknown_addresses_and_methods_have_the_same_shape(echo):
    for said in (httpx2.get(f"{echo.root}/nothing"), httpx2.get(f"{echo.url}/chat/completions")):
        assert said.status_code in (404, 405)
        assert set(said.json()["error"]) == {"message", "type", "param", "code"}


def test_a_body_that_comes_too_slowly_is_refused_and_others_are_served_meanwhile(echo):
    host, port = echo.root.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as slow:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        slow.sendall(f"{head}Content-Length: 100\r\n\r\n{{".encode())
        assert echo.chat("hello", tools=[ECHO]).status_code == 200
        said = b""
        while more := slow.recv(65536):
            said += more
    assert said.startswith(b"HTTP/1.1 408")


def test_a_key_is_asked_for_and_its_absence_and_its_mistakes_are_refused():
    with serving(Echo(), key="right") as served:
        for header in (None, "Bearer wrong", "right", "Bearer", "Basic right", "Bearer right\u00e9"):
            headers = {} if header is None else {"Authorization": header.encode("latin-1")}
            for path in ("/v1/models", "/metrics", "/v1/responses/x", "/agent", "/runs", "/runs/0"):
                assert httpx2.get(served.root + path, headers=headers).status_code == 401
            assert served.post(headers=headers, **CHAT).status_code == 401
            assert httpx2.post(served.root + "/runs", json=RUN, headers=headers).status_code == 401
        assert served.post(headers={"Authorization": "Bearer right"}, **CHAT).status_code == 200
        assert httpx2.get(served.root + "/").status_code == 200, "the page itself asks for the key"


def test_another_host_needs_a_key(monkeypatch):
    monkeypatch.delenv("UMI_TEST_KEY", raising=False)
    for named in ({"key_env": None}, {"key_env": "UMI_TEST_KEY"}):
        with pytest.raises(ConfigError):
            accepted_key(read_options(Echo(), {}, host="192.0.2.1", **named))


def test_what_fails_inside_is_not_told():
    with serving(Failing()) as served:
        whole = served.post(**CHAT)
        streamed = served.post(**CHAT, stream=True)
    assert whole.status_code == 500
    for said in (whole, streamed):
        assert "secret" not in said.text
        assert "server_error" in said.text


def test_more_replies_than_allowed_are_put_off():
    with serving(Echo(wait_s=300), most_replies=1) as served, httpx2.Client(timeout=60) as client:
        with client.stream("POST", f"{served.url}/chat/completions", json={**CHAT, "stream": True}) as first:
            assert first.status_code == 200
            assert served.post(**CHAT).status_code == 429
            assert served.post(**CHAT, stream=True).status_code == 429
        eventually(lambda: served.routes.in_progress == 0)


def test_a_reply_without_end_is_ended():
    with serving(Echo(wait_s=300), request_s=0.2) as served:
        assert "took longer" in served.post(**CHAT, stream=True).text
        assert served.post(**CHAT).status_code == 504
        assert served.routes.in_progress == 0


def test_a_page_of_a_named_origin_may_ask():
    origin = "https://page.example"
    with serving(Echo(), origins=(origin,)) as served:
        said = served.post(headers={"Origin": origin}, **CHAT)
        other = served.post(headers={"Origin": "https://evil.example"}, **CHAT)
    assert (said.status_code, said.headers["access-control-allow-origin"]) == (200, origin)
    assert other.status_code == 403


def test_what_no_prompt_could_hold_is_refused_before_it_is_tokenized():
    with serving() as served:
        started = time.process_time()
        long, many = "word " * 400_000, [{"role": "user", "content": "word " * 500}] * 1000
        for said in (served.chat(long), served.chat("hello", tools=[{"name": long}]), served.chat("", messages=many)):
            assert said.status_code == 400
            assert said.json()["error"]["code"] == "context_length_exceeded"
        assert served.routes.served.loaded.role_models
        said = served.chat("hello", tools=[tool({"properties": {}}), {"name": "long", "description": "word " * 3000}])
        error = said.json()["error"]
        assert (error["param"], error["code"]) == ("messages", "context_length_exceeded")
        assert error["message"].startswith("the planner's prompt needs ")
        assert time.process_time() - started < 20  # of the processor: the machine may be busy

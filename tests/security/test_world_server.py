"""`umi world serve` under attack: no request is an error of the server's own, and none makes it deaf."""

import asyncio
import json
import random
import socket
import time
from collections import deque

import httpx2
import pytest

from alpha_umi.errors import StorageError
from alpha_umi.serving.http import server
from alpha_umi.serving.http.guard import LOOPBACK, hosts_of
from alpha_umi.serving.virtual_tools.cache import ReplyCache, Row
from alpha_umi.serving.virtual_tools.openapi import openapi_document
from alpha_umi.serving.virtual_tools.simulators import WorldSimulator
from alpha_umi.serving.virtual_tools.wire import DEEPEST, ApiAddress, Asked, Reply
from support.virtual_server import CITY, serving


def where(virtual):
    host, port = virtual.url.removeprefix("http://").split(":")
    return host, int(port)


def raw(virtual, data, timeout=10.0):
    """What the server says to these bytes, and whether it hung up."""
    with socket.create_connection(where(virtual), timeout=timeout) as connection:
        connection.sendall(data)
        said = b""
        while True:
            more = connection.recv(65536)
            if not more:
                return said
            said += more


def post(body, *headers, path="/virtual"):
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


@pytest.fixture(scope="module")
def virtual(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    with serving(folder / "c.sqlite", WorldSimulator("tiny", 0), hosts=LOOPBACK, body_s=1.0) as found:
        yield found


JSON = "Content-Type: application/json"
ODD = ("\ud800", "\udfff" * 3, "\x00", "é", "a" * 3000, "..", "'; DROP TABLE replies; --", "", "👍", "1e999", "NaN")


def nested(levels, sign="["):
    return '{"a":' * levels + "1" + "}" * levels if sign == "{" else "[" * levels + "]" * levels


def bodies(rng):
    """Requests of every wrong kind."""
    while True:
        request = dict(CITY)
        match rng.randrange(10):
            case 0:
                request[rng.choice(list(request))] = rng.choice([None, 1, [], {}, True, rng.choice(ODD), -0.0, 10**400])
            case 1:
                request["tool_input"] = {rng.choice(ODD): rng.choice(ODD), "city": rng.choice(ODD)}
            case 2:
                request["tool_input"] = json.dumps({rng.choice(ODD): rng.choice(ODD), "city": rng.choice(ODD)})
            case 3:
                levels = rng.choice([DEEPEST - 3, DEEPEST, DEEPEST + 1, 900, 990, 1000, 5000])
                yield json.dumps(request).replace('"tool_input"', '"x"')[:-1].encode() + (
                    f', "tool_input": {nested(levels, rng.choice("[{"))}}}'.encode()
                )
                continue
            case 4:
                request["tool_input"] = nested(rng.choice([90, 101, 985, 3000]), "{")
            case 5:
                text = json.dumps(request).encode()
                at = rng.randrange(len(text))
                yield (
                    text[:at]
                    + bytes(rng.randrange(256) for _ in range(rng.randrange(4)))
                    + text[at + rng.randrange(3) :]
                )
                continue
            case 6:
                yield bytes(rng.randrange(256) for _ in range(rng.randrange(200)))
                continue
            case 7:
                request |= {
                    "strip": rng.choice(["filter", "random", "truncate", "\ud800", 1]),
                    "toolbench_key": rng.choice(ODD),
                }
            case 8:
                yield b'{"category": NaN, "tool_input": {"a": -Infinity, "b": 1e999}}'
                continue
            case _:
                request["api_name"] = rng.choice(ODD) + rng.choice(["city", "../..", "_for_atlas"])
        yield json.dumps(request).encode()


def assault(virtual, count, seed=11):
    """Statuses of so many hostile requests."""
    rng, statuses = random.Random(seed), []
    odd_bodies = bodies(rng)
    with httpx2.Client(timeout=30) as client:
        for number in range(count):
            headers = {"content-type": "application/json"}
            if number % 5 == 0:
                headers["toolbench_key"] = rng.choice(["", "é".encode("latin-1"), "x" * 4000])
            path = rng.choice(["/virtual", "/rapidapi", "/virtual/", "/rapidapi/"])
            statuses.append(client.post(virtual.url + path, content=next(odd_bodies), headers=headers).status_code)
    return statuses


@pytest.mark.parametrize("count", [300, pytest.param(3000, marks=pytest.mark.slow)])
def test_no_hostile_request_is_an_error_of_the_servers_own(virtual, count):
    statuses = assault(virtual, count)
    assert set(statuses) <= {200, 422, 413}
    assert {200, 422} <= set(statuses)


def test_a_key_that_is_half_a_character_is_a_wrong_key(tmp_path):
    with serving(tmp_path / "c.sqlite", WorldSimulator("tiny", 0), key="k") as virtual:
        data = json.dumps({**CITY, "toolbench_key": "\ud800"})
        said = httpx2.post(
            virtual.url + "/virtual", content=data, headers={"content-type": "application/json"}, timeout=10
        )
    assert (said.status_code, said.json()["error"]) == (200, "Unauthorized error...")


BROKEN = (
    b"", b"\r\n", b"GET", b"\x16\x03\x01\x02\x00", b"POST /virtual HTTP/9.9\r\n\r\n", b"A" * 200_000,
    b"POST /virtual HTTP/1.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n", b"POST /virtual HTTP/1.1\r\n\r\n",
    b"POST /virtual HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
    b"POST /virtual HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999\r\n\r\n{",
    b"POST /virtual HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
)  # fmt: skip


def test_half_requests_and_hang_ups_are_quiet_and_leave_the_server_listening(virtual, capfd):
    for data in BROKEN:
        for _ in range(5):
            with socket.create_connection(where(virtual), timeout=5) as connection:
                connection.sendall(data)
    for cut in range(0, 300, 7):
        with socket.create_connection(where(virtual), timeout=5) as connection:
            connection.sendall(post(json.dumps(CITY).encode(), JSON)[:cut])
    assert httpx2.get(virtual.url + "/health", timeout=10).json()["status"] == "ok"
    time.sleep(0.2)
    heard = capfd.readouterr()
    assert (heard.out, heard.err) == ("", "")


def test_a_body_that_does_not_come_is_given_up_in_time(virtual):
    began = time.monotonic()
    data = post(json.dumps(CITY).encode(), JSON)
    assert raw(virtual, data[:-5]).startswith(b"HTTP/1.1 408")
    assert time.monotonic() - began < 8


def test_a_head_that_does_not_come_is_given_up_in_time(virtual, monkeypatch):
    monkeypatch.setattr(server, "HEAD_S", 0.3)
    for data in (b"", b"POST /virtual HTTP/1.1\r\nHost: 12"):
        began = time.monotonic()
        assert raw(virtual, data) == b""
        assert time.monotonic() - began < 8


def test_more_connections_than_the_limit_are_refused_and_the_others_served(virtual, monkeypatch):
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 20)
    monkeypatch.setattr(server, "HEAD_S", 0.5)
    idle = [socket.create_connection(where(virtual), timeout=5) for _ in range(40)]
    refused = sum(connection.recv(100).startswith(b"HTTP/1.1 503") for connection in idle[25:])
    assert refused >= 10
    time.sleep(1)  # those that ask nothing are given up
    assert httpx2.get(virtual.url + "/health", timeout=10).status_code == 200
    for connection in idle:
        connection.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 403), ({"host": "127.0.0.1:1@evil.example"}, 403), ({"host": "[::1"}, 403),
        ({"origin": "http://evil.example"}, 403), ({"origin": "null"}, 403), ({"host": "localhost:99"}, 200),
        ({"content-type": "text/plain"}, 415), ({"content-type": "multipart/form-data"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "application/json; charset=utf-8"}, 200),
        ({"content-type": "APPLICATION/JSON"}, 200), ({"origin": "http://localhost"}, 200),
    ],
)  # fmt: skip
def test_requests_of_other_sites_and_of_other_types_are_refused(virtual, headers, status):
    headers = {"content-type": "application/json", **headers}
    said = httpx2.post(virtual.url + "/virtual", content=json.dumps(CITY), headers=headers, timeout=10)
    assert said.status_code == status
    assert said.json().keys() >= {"error", "response"}


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(virtual):
    data = f"POST /virtual HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\nContent-Length: {2 << 20}\r\n\r\n".encode()
    assert raw(virtual, data).startswith(b"HTTP/1.1 413")


def test_a_server_that_other_machines_may_ask_is_asked_under_any_name():
    assert hosts_of("0.0.0.0") == frozenset()  # noqa: S104
    assert hosts_of("127.0.0.1") == hosts_of("localhost") == LOOPBACK


def asked(number):
    address = ApiAddress(category="c", tool="t", api="a")
    return Asked(address=address, arguments={"n": number, "text": "x" * 5000})


def test_a_cache_does_not_grow_beyond_its_limit(tmp_path):
    path = tmp_path / "c.sqlite"
    cache = ReplyCache(path, most_bytes=200_000)
    rows = [Row(asked=asked(number), reply=Reply(response="y" * 5000), source="recorded") for number in range(100)]
    with pytest.raises(StorageError):
        deque(map(cache.add, rows), maxlen=0)
    assert cache.find(asked(0)) is not None
    cache.close()
    assert path.stat().st_size <= 200_000


def test_health_says_that_replies_cannot_be_kept_and_that_they_can_again(tmp_path, monkeypatch):
    with serving(tmp_path / "c.sqlite", WorldSimulator("tiny", 0)) as virtual:
        kept = ReplyCache.keep

        def full(*_):
            raise StorageError("the disk is full")

        def state():
            said = httpx2.get(virtual.url + "/health", timeout=10)
            return said.status_code, said.json()["status"]

        def ask(city):
            body = {**CITY, "tool_input": {"city": city}}
            return httpx2.post(virtual.url + "/virtual", json=body, timeout=10).status_code

        assert state() == (200, "ok")
        monkeypatch.setattr(ReplyCache, "keep", full)
        assert ask("Rome") == 503
        assert state() == (503, "failing")
        monkeypatch.setattr(ReplyCache, "keep", kept)
        assert ask("Oslo") == 200
        assert state() == (200, "ok")


def test_the_openapi_document_names_every_path_and_every_status(virtual):
    document = httpx2.get(virtual.url + "/openapi.json", timeout=10).json()
    assert document == json.loads(json.dumps(openapi_document()))
    assert set(document["paths"]) == {"/virtual", "/rapidapi", "/health"}
    told = set(document["paths"]["/virtual"]["post"]["responses"])
    assert {str(status) for status in assault(virtual, 60, seed=5)} <= told
    assert {"403", "408", "413", "415"} <= told


@pytest.mark.slow
def test_a_thousand_slow_senders_do_not_make_the_server_deaf(virtual, monkeypatch):
    monkeypatch.setattr(server, "HEAD_S", 2.0)

    async def slow(number):
        try:
            reader, writer = await asyncio.open_connection(*where(virtual))
        except OSError:
            return
        try:
            for byte in b"POST /virtual HTTP/1.1\r\nHost: localhost\r\n"[: number % 30]:
                writer.write(bytes([byte]))
                await asyncio.sleep(0.1)
            await asyncio.wait_for(reader.read(), 30)
        except OSError:
            pass
        finally:
            writer.close()

    async def many():
        senders = [asyncio.create_task(slow(number)) for number in range(1000)]
        await asyncio.sleep(3)
        async with httpx2.AsyncClient(timeout=20) as client:
            said = [await client.post(virtual.url + "/virtual", json=CITY) for _ in range(20)]
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
        return {each.status_code for each in said}

    assert asyncio.run(many()) == {200}

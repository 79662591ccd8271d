"""Replies of foreign servers: bombs, broken and odd encodings are errors in little memory, whole ones are read."""

import asyncio
import gzip
import json
import tracemalloc
import zlib

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_umi.environments.access import Access, AccessLimits, Request
from alpha_umi.errors import ModelError
from alpha_umi.http_replies import OversizedReplyError, send
from alpha_umi.models.openai import Endpoint, OpenAIModel
from alpha_umi.types import Observation, Sampling, ToolStatus, Usage
from support.endpoint_server import EndpointServer, Reply, chat_reply

MOST = 1_000_000


def raw_deflate(data):
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


ENCODINGS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": raw_deflate,
    "identity": bytes,
    "": bytes,
}


def ask(body, headers, most=MOST, chunk=None):
    """What a client gets of a reply that arrives in pieces of `chunk` bytes."""

    async def pieces():
        for at in range(0, len(body), chunk or max(len(body), 1)):
            yield body[at : at + (chunk or len(body))]

    async def main():
        async with httpx2.AsyncClient(
            transport=httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, content=pieces()))
        ) as client:
            return await send(client, "GET", "http://tools/", most)

    return asyncio.run(main())


@given(data=st.binary(max_size=300), chunk=st.integers(1, 200), encoding=st.sampled_from([*ENCODINGS]))
def test_a_whole_reply_is_read_in_every_encoding(data, chunk, encoding):
    assert ask(ENCODINGS[encoding](data), {"Content-Encoding": encoding}, chunk=chunk).content == data


@given(data=st.binary(max_size=300), encoding=st.sampled_from([*ENCODINGS, "br", "zstd", "gzip, gzip", "é"]))
def test_any_bytes_are_a_reply_or_an_error_of_httpx2(data, encoding):
    try:
        assert len(ask(data, {"Content-Encoding": encoding.encode()}, most=100).content) <= 100
    except (httpx2.DecodingError, OversizedReplyError):
        return


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_reply_that_was_cut_off_is_an_error(encoding):
    whole = ENCODINGS[encoding](b"abc" * 100)
    for length in range(1, len(whole)):
        with pytest.raises(httpx2.DecodingError):
            ask(whole[:length], {"Content-Encoding": encoding})


def test_several_members_and_padding_are_read():
    assert (
        ask(gzip.compress(b"one ") + gzip.compress(b"two") + b"\0" * 9, {"Content-Encoding": "gzip"}).text == "one two"
    )


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_takes_no_more_memory_than_granted(encoding):
    bomb = ENCODINGS[encoding](b"\0" * 100 * MOST)
    assert len(bomb) < MOST
    tracemalloc.start()
    try:
        with pytest.raises(OversizedReplyError):
            ask(bomb, {"Content-Encoding": encoding})
        assert tracemalloc.get_traced_memory()[1] < 8 * MOST
    finally:
        tracemalloc.stop()


CHARSETS = ("zlib", "bz2", "rot13", "base64", "undefined", "idna", "punycode", "unicode_escape", "utf-7", "no such")


@pytest.mark.parametrize("charset", CHARSETS)
def test_a_charset_that_is_no_text_is_read_as_utf_8(charset):
    assert ask("né".encode(), {"Content-Type": f"text/plain; charset={charset}"}).text == "né"
    assert ask("né".encode("latin-1"), {"Content-Type": "text/plain; charset=ISO-8859-1"}).text == "né"


def served(*replies, tries=1):
    """Observation of a tool, and the number of requests that it got."""

    async def main():
        async with EndpointServer(*replies) as server, Access(AccessLimits(retries=2, first_wait_s=0.0)) as access:
            url = server.url.removesuffix("/v1")
            return await access.send(Request(method="POST", url=url, body={})), len(server.received)

    return asyncio.run(main())


def test_a_tools_bomb_is_an_observation_and_not_asked_for_again():
    bomb = Reply(body=gzip.compress(b"\0" * 20_000_000), headers={"Content-Encoding": "gzip"})
    seen, requests = served(bomb)
    assert isinstance(seen, Observation)
    assert (seen.status, requests) == (ToolStatus.ERROR, 1)
    assert "longer than 4,194,304 bytes" in seen.content


@pytest.mark.parametrize("encoding", ["br", "gzip"])
def test_a_tools_reply_that_cannot_be_decoded_is_an_observation(encoding):
    seen, _ = served(Reply(body=b"\x1b\x03 not this", headers={"Content-Encoding": encoding}))
    assert isinstance(seen, Observation)
    assert seen.status is ToolStatus.ERROR
    assert "DecodingError" in seen.content


def complete(reply):
    async def main():
        async with (
            EndpointServer(reply) as server,
            OpenAIModel(Endpoint(base_url=server.url, model="m", api="chat", max_retries=0)) as model,
        ):
            return await model.complete("hello", Sampling())

    return asyncio.run(main())


def test_an_endpoints_bomb_is_a_model_error():
    bomb = gzip.compress(b"\0" * 100_000_000, compresslevel=1)
    with pytest.raises(ModelError, match="longer than"):
        complete(Reply(body=bomb, headers={"Content-Encoding": "gzip"}))


@pytest.mark.parametrize("count", [-1, 10**400, 1.5, "3", None, True, [1]])
def test_an_endpoints_count_that_is_none_counts_nothing(count):
    body = chat_reply("hi") | {"usage": {"prompt_tokens": count, "completion_tokens": 2}}
    done = complete(Reply(body=json.dumps(body)))
    assert (done.text, done.usage) == ("hi", Usage(completion_tokens=2, completions=1))

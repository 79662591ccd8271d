"""A model at an endpoint, against a real server that misbehaves; only the waiting is not real."""

import asyncio
import gc
import json
import logging
from email.utils import formatdate

import pytest

from alpha_umi.errors import ConfigError, ModelError
from alpha_umi.models.openai import Endpoint, OpenAIModel, Prefill, Slots
from alpha_umi.protocols import Model
from alpha_umi.types import Completion, FinishReason, Message, Sampling, TokenLogprob, ToolPrompt, ToolSpec, Usage
from support.endpoint_server import CutOff, Drip, EndpointServer, Hang, Reply, chat_reply, text_reply

NOW = 1_700_000_000.0
KEY = "sk-very-secret"
CHAT = (Message(role="system", content="Be brief."), Message(role="user", content="Hi"))
GREEDY = Sampling(max_tokens=16)
GOOD = Reply(body=chat_reply("hello"))


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def ask(*behaviours, prompt=CHAT, sampling=GREEDY, **config):
    """One completion from a server that behaves so; returns it, the server, and the waits in seconds."""
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    async def run():
        async with EndpointServer(*behaviours) as server:
            endpoint = Endpoint(**{"base_url": server.url, "model": "small", "timeout_s": 60, **config})
            async with OpenAIModel(endpoint, sleep=sleep, clock=lambda: NOW, jitter=lambda: 0.0) as model:
                return await model.complete(prompt, sampling), server, waits

    return asyncio.run(run())


def refused(*behaviours, **config):
    """Like `ask`, for what ends in a ModelError; returns its message."""
    with pytest.raises(ModelError) as caught:
        ask(*behaviours, **config)
    return str(caught.value)


def test_it_is_a_model():
    assert isinstance(OpenAIModel(Endpoint(base_url="http://localhost", model="m")), Model)


# --- on the wire ------------------------------------------------------------------------------------------


def test_messages_go_to_chat_completions():
    completion, server, _ = ask(GOOD, sampling=Sampling(max_tokens=9, temperature=0.5, top_p=0.9, stop=("X",), seed=3))
    assert completion == Completion(
        text="hello",
        finish=FinishReason.STOP,
        usage=Usage(prompt_tokens=7, completion_tokens=2, completions=1),
    )
    assert [request.path for request in server.received] == ["/v1/chat/completions"]
    assert server.received[0].body == {
        "model": "small",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "max_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["X"],
        "seed": 3,
    }


def test_text_goes_to_completions():
    completion, server, _ = ask(Reply(body=text_reply(" there", "length")), prompt="Hi")
    assert (completion.text, completion.finish) == (" there", FinishReason.LENGTH)
    assert [request.path for request in server.received] == ["/v1/completions"]
    assert server.received[0].body == {
        "model": "small",
        "prompt": "Hi",
        "max_tokens": 16,
        "temperature": 0.0,
        "top_p": 1.0,
    }


def test_text_is_one_user_message_where_only_chat_is_served():
    _, server, _ = ask(GOOD, prompt="Hi", api="chat")
    assert server.received[0].path == "/v1/chat/completions"
    assert server.received[0].body["messages"] == [{"role": "user", "content": "Hi"}]


def test_messages_are_refused_where_only_text_is_served():
    assert "set api to 'chat'" in refused(GOOD, api="completions")


def test_extra_fields_are_added_and_fields_can_be_renamed_or_left_out():
    _, server, _ = ask(
        GOOD,
        extra={"lora": [{"id": 1, "scale": 1.0}], "top_p": 0.5},
        rename={"max_tokens": "max_completion_tokens", "temperature": ""},
    )
    sent = server.received[0].body
    assert sent["lora"] == [{"id": 1, "scale": 1.0}]
    assert (sent["max_completion_tokens"], sent["top_p"]) == (16, 0.5)
    assert not {"max_tokens", "temperature"} & set(sent)


def test_what_else_decides_about_tokens_is_sent_where_it_is_asked_for():
    more = Sampling(top_k=5, min_p=0.1, repetition_penalty=1.5, logprobs=True)
    told = {"content": [{"token": "a", "logprob": -0.5}]}
    reply = {"choices": [{"message": {"content": "a"}, "logprobs": told}]}
    completion, server, _ = ask(Reply(body=reply), sampling=more)
    sent = server.received[0].body
    assert {key: sent[key] for key in ("top_k", "min_p", "repetition_penalty", "logprobs")} == {
        "top_k": 5,
        "min_p": 0.1,
        "repetition_penalty": 1.5,
        "logprobs": True,
    }
    assert completion.logprobs == (TokenLogprob(text="a", logprob=-0.5),)
    reply = {"choices": [{"text": "a", "logprobs": {"tokens": ["a"], "token_logprobs": [-0.5]}}]}
    assert ask(Reply(body=reply), prompt="Hi", sampling=more)[0].logprobs == completion.logprobs


def test_what_an_endpoint_cannot_be_constrained_by_is_refused():
    for sampling in (Sampling(grammar="start: /a/"), Sampling(repetition_limit=3)):
        with pytest.raises(ModelError, match=r"cannot (be constrained|keep)"):
            ask(GOOD, sampling=sampling)


def test_any_text_can_be_sent_even_half_a_surrogate_pair():
    _, server, _ = ask(GOOD, prompt=(Message(role="user", content="é\ud800"),))
    assert server.received[0].body["messages"][0]["content"] == "é\ud800"


@pytest.mark.parametrize(("path", "served"), [("", "/v1/"), ("/", "/v1/"), ("/api/v3/", "/api/v3/"), ("/v1", "/v1/")])
def test_an_address_without_a_path_gets_v1(path, served):
    async def run():
        async with EndpointServer(GOOD) as server:
            base_url = server.url.removesuffix("/v1") + path + "?api-version=2"
            async with OpenAIModel(Endpoint(base_url=base_url, model="m")) as model:
                await model.complete(CHAT, GREEDY)
            return server.received[0].path

    assert asyncio.run(run()) == f"{served}chat/completions?api-version=2"


@pytest.mark.parametrize(
    ("text", "finish", "kept", "ended"),
    [
        ("one END two", "length", "one ", FinishReason.STOP),
        ("a STOP b END", "stop", "a ", FinishReason.STOP),
        ("untouched", "length", "untouched", FinishReason.LENGTH),
        ("untouched", "content_filter", "untouched", FinishReason.STOP),
        (None, "tool_calls", "", FinishReason.STOP),
    ],
)
def test_a_stop_string_ends_a_completion_that_the_server_left_longer(text, finish, kept, ended):
    completion, _, _ = ask(Reply(body=chat_reply(text, finish)), sampling=Sampling(stop=("END", "STOP")))
    assert (completion.text, completion.finish) == (kept, ended)


@pytest.mark.parametrize("usage", [None, "many", {}, {"prompt_tokens": None, "completion_tokens": "2"}])
def test_tokens_that_are_not_counted_are_none(usage):
    completion, _, _ = ask(Reply(body={**chat_reply("hello"), "usage": usage}))
    assert completion.usage == Usage(completions=1)


# --- failures that pass -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure",
    [
        Reply(status=429, body={"error": "slow down"}),
        Reply(status=500, body="oops"),
        Reply(status=503, body=""),
        Reply(status=408, body=""),
        Hang(),
        CutOff(),
        CutOff(whole_head=False),
        Drip(body=chat_reply("slow"), each_s=0.05),
    ],
)
def test_a_failure_that_may_pass_is_asked_again(failure):
    completion, server, waits = ask(failure, GOOD, timeout_s=1 if isinstance(failure, Hang | Drip) else 60)
    assert completion.text == "hello"
    assert len(server.received) == 2
    assert waits == [0.5]


def test_a_slow_reply_within_the_time_is_a_reply():
    completion, server, _ = ask(Drip(body=chat_reply("slow"), each_s=0.0001))
    assert (completion.text, len(server.received)) == ("slow", 1)


def test_waits_double_up_to_half_a_minute():
    _, _, waits = ask(*[Reply(status=503, body="")] * 8, GOOD, max_retries=8)
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_up_to_half_of_a_wait_is_left_to_chance():
    waits = []

    async def run():
        async def sleep(seconds):
            waits.append(seconds)

        async with EndpointServer(Reply(status=503, body=""), GOOD) as server:
            endpoint = Endpoint(base_url=server.url, model="m")
            async with OpenAIModel(endpoint, sleep=sleep, jitter=lambda: 0.5) as model:
                await model.complete(CHAT, GREEDY)

    asyncio.run(run())
    assert waits == [0.375]


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("7", 7.0),
        ("1.5", 1.5),
        (formatdate(NOW + 11, usegmt=True), 11.0),
        (formatdate(NOW - 11, usegmt=True), 0.0),
        ("86400", 120.0),
        ("soon", 0.5),
        ("-3", 0.5),
    ],
)
def test_the_wait_that_the_endpoint_asks_for_is_kept_within_reason(header, wait):
    _, _, waits = ask(Reply(status=429, body="", headers={"Retry-After": header}), GOOD)
    assert waits == [pytest.approx(wait)]


# --- failures that stay -----------------------------------------------------------------------------------


def test_it_gives_up_after_the_retries_and_says_what_was_tried():
    message = refused(Reply(status=503, body="still loading"), max_retries=2)
    assert "3 requests" in message
    assert "1.5 s of waiting" in message
    assert "status 503: 'still loading'" in message


def test_it_gives_up_where_nobody_listens():
    with pytest.raises(ModelError, match=r"2 requests.*ConnectError"):
        ask(GOOD, base_url="http://127.0.0.1:9/v1", max_retries=1)


def test_zero_retries_is_one_request():
    assert "timeout_s" in refused(Hang(), max_retries=0, timeout_s=0.1)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_names_the_variable_to_set_and_never_the_key(status):
    echo = Reply(status=status, body={"error": f"bad key {KEY}"})
    message = refused(echo, api_key=KEY, api_key_variable="MY_KEY")
    assert "refused the key" in message
    assert "set MY_KEY" in message
    assert KEY not in message
    assert "wants a key and got none" in refused(echo)


def test_the_key_goes_into_the_header_and_nowhere_else(caplog):
    caplog.set_level(logging.DEBUG)
    _, server, _ = ask(Reply(status=500, body=f"{KEY}"), GOOD, api_key=KEY)
    assert [request.headers["authorization"] for request in server.received] == [f"Bearer {KEY}"] * 2
    assert caplog.records
    assert not any(KEY in str(vars(record)) for record in caplog.records)
    assert KEY not in repr(Endpoint(base_url="http://localhost", model="m", api_key=KEY))
    _, server, _ = ask(GOOD)
    assert "authorization" not in server.received[0].headers


def test_a_wrong_address_or_model_is_named():
    message = refused(Reply(status=404, body={"error": "no such model"}))
    assert "/v1/chat/completions" in message
    assert "'small'" in message
    assert "no such model" in message


def test_a_refused_request_is_not_asked_again_and_quotes_the_reason():
    message = refused(Reply(status=400, body={"error": "context length exceeded"}), GOOD)
    assert "status 400" in message
    assert "context length exceeded" in message


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=400, body={"error": {"code": "context_length_exceeded", "message": "Too big."}}),
        Reply(status=400, body={"error": {"message": "This model's maximum context length is 4096 tokens. But"}}),
        Reply(status=400, body={"error": {"message": "the request exceeds the available context size. try more"}}),
        Reply(status=422, body={"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048"}),
        Reply(status=400, body={"message": "prompt is too long: 210000 tokens > 200000 maximum"}),
        Reply(status=400, body={"detail": "The input (5000 tokens) is longer than the model's context length (4096)."}),
        Reply(status=413, body="Payload Too Large"),
    ],
)  # fmt: skip
def test_a_prompt_that_is_too_long_is_refused_with_the_option_that_shortens_it(reply):
    message = refused(reply, GOOD)
    assert "--max-observation-chars" in message
    assert f"status {reply.status}" in message


def test_other_refusals_do_not_speak_of_observations():
    for said in ("max_tokens must be at most 16", "the tokenizer has no chat template", "unknown field 'tools'"):
        assert "--max-observation-chars" not in refused(Reply(status=400, body={"error": said}), GOOD)


def test_content_in_parts_is_the_text_of_its_parts():
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "reasoning", "text": "hm"},
        {"type": "text", "text": "It is "},
        {"type": "output_text", "text": "sunny", "annotations": []},
        ".",
    ]
    completion, *_ = ask(Reply(body={"choices": [{"message": {"content": parts}, "finish_reason": "stop"}]}))
    assert completion.text == "It is sunny."
    completion, *_ = ask(Reply(body={"choices": [{"message": {"content": parts[:2]}}]}))
    assert completion.text == ""


def test_a_server_that_counts_too_few_tokens_for_its_tools_is_noticed_once(caplog):
    tool = ToolSpec(name="look", description="Looks up a word. " * 100)
    prompt = ToolPrompt(messages=CHAT, tools=(tool,))

    def said(tokens, **message):
        usage = {"prompt_tokens": tokens, "completion_tokens": 3}
        body = chat_reply("hello")
        body["choices"][0]["message"] |= message
        caplog.clear()
        with caplog.at_level(logging.WARNING, "alpha_umi.models.openai"):
            ask(Reply(body={**body, "usage": usage}), prompt=prompt)
        return caplog.text

    assert "leave the tools out" in said(20)
    assert said(400) == ""
    assert said(0) == ""
    call = {"id": "x", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    assert said(20, content=None, tool_calls=[call]) == ""
    raw = 'I look.\n<tool_call>\n{"name": "look", "arguments": {}}\n</tool_call>'
    assert "leaves the model's tool calls in the text" in said(400, content=raw)


@pytest.mark.parametrize(
    "body",
    [
        "<html>not JSON</html>" + "x" * 500,
        '{"choices": [',
        b"\xff\xfe",
        {"error": "overloaded"},
        {"choices": []},
        {"choices": None},
        {"choices": [{"finish_reason": "stop"}]},
        {"choices": [{"message": {"role": "assistant"}}]},
        {"choices": [{"message": {"content": [{"type": "text"}]}}]},
        {"choices": ["hello"]},
        ["hello"],
        "null",
        "[" * 100_000,
    ],
)
def test_a_reply_of_another_shape_is_quoted_and_not_asked_again(body):
    message = refused(Reply(body=body), GOOD)
    quoted = (
        body
        if isinstance(body, str)
        else body.decode("utf-8", "replace")
        if isinstance(body, bytes)
        else json.dumps(body)
    )
    assert repr(quoted[:200]) in message
    assert quoted[:201] not in message or len(quoted) <= 200


def test_a_body_that_cannot_be_unpacked_is_an_error():
    assert "cannot be read" in refused(Reply(body=b"not gzip", headers={"Content-Encoding": "gzip"}), GOOD)


# --- many at once -----------------------------------------------------------------------------------------


def test_no_more_requests_are_open_than_allowed():
    async def run():
        async with EndpointServer(Reply(body=chat_reply("hello"), after_s=0.02)) as server:
            endpoint = Endpoint(base_url=server.url, model="m", max_concurrency=3)
            async with OpenAIModel(endpoint) as model:
                texts = await asyncio.gather(*(model.complete(CHAT, GREEDY) for _ in range(20)))
            return server, texts

    server, texts = asyncio.run(run())
    assert server.most_open == 3
    assert [completion.text for completion in texts] == ["hello"] * 20


def test_a_cancelled_request_closes_its_connection_and_frees_its_place():
    async def run():
        async with EndpointServer(Hang(), GOOD) as server:
            endpoint = Endpoint(base_url=server.url, model="m", max_concurrency=1)
            async with OpenAIModel(endpoint) as model:
                asked = asyncio.create_task(model.complete(CHAT, GREEDY))
                while not server.received:
                    await asyncio.sleep(0.005)
                asked.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asked
                await asyncio.wait_for(server.hung_up.wait(), 60)
                return await asyncio.wait_for(model.complete(CHAT, GREEDY), 60)

    assert asyncio.run(run()).text == "hello"
    gc.collect()


# --- configuration ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"base_url": "localhost:8000"}, "http://localhost:8000/v1"),
        ({"base_url": ""}, "base_url"),
        ({"base_url": "http://[::1"}, "no address"),
        ({"base_url": "https://me:secret@host/v1"}, "password"),
        ({"api": "responses"}, "auto, completions or chat"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"max_retries": -1}, "max_retries"),
        ({"max_concurrency": 0}, "max_concurrency"),
        ({"api_key": "two\nlines", "api_key_variable": "MY_KEY"}, "MY_KEY"),
    ],
)
def test_an_endpoint_that_cannot_be_asked_is_refused(config, named):
    with pytest.raises(ConfigError, match=named) as caught:
        Endpoint(**{"base_url": "http://localhost", "model": "m", **config})
    assert "secret" not in str(caught.value)
    assert "two" not in str(caught.value)


# --- a request before each completion ---------------------------------------------------------------------


def test_the_start_of_a_prompt_is_sent_first_and_to_the_same_slot():
    first = Prefill("<|role|>", {"lora": [{"id": 0, "scale": 0.0}], "cache_prompt": False})
    fields = {
        "extra": {"lora": [{"id": 0, "scale": 1.0}], "cache_prompt": True},
        "prefill": first,
        "max_concurrency": 1,
    }
    replies = (Reply(body=text_reply("")), Reply(body=text_reply("done")))
    completion, server, _ = ask(*replies, prompt="tools, words<|role|>", **fields)
    assert completion.text == "done"
    before, after = (each.body for each in server.received)
    assert (before["prompt"], before["max_tokens"], before["lora"]) == ("tools, words", 0, [{"id": 0, "scale": 0.0}])
    assert (after["prompt"], after["max_tokens"], after["lora"]) == (
        "tools, words<|role|>",
        16,
        [{"id": 0, "scale": 1.0}],
    )
    assert (before["cache_prompt"], after["cache_prompt"]) == (False, True)
    assert before["id_slot"] == after["id_slot"] == 0


@pytest.mark.parametrize("prompt", ["another end", CHAT])
def test_a_prompt_with_another_end_is_sent_alone(prompt):
    reply = Reply(body=text_reply("done") if isinstance(prompt, str) else chat_reply("done"))
    _, server, _ = ask(reply, prompt=prompt, prefill=Prefill("<|role|>"))
    assert [("id_slot" in each.body) for each in server.received] == [False]


def test_a_slot_serves_one_completion_at_a_time_for_all_models_of_its_server():
    async def run():
        slots, held, together = Slots(2), set(), []

        async def one():
            async with slots.take() as number:
                assert number not in held
                held.add(number)
                together.append(len(held))
                await asyncio.sleep(0)
                held.remove(number)

        await asyncio.gather(*(one() for _ in range(9)))
        return max(together)

    assert asyncio.run(run()) == 2

"""The fake that ships: it says its lines and remembers what it was asked."""

import asyncio
import itertools

import pytest

from alpha_umi.errors import ModelError
from alpha_umi.models.scripted import Request, ScriptedModel
from alpha_umi.protocols import Model
from alpha_umi.types import Completion, FinishReason, Message, Sampling, Usage

SAMPLING = Sampling(max_tokens=3)


def say(model, *prompts):
    return [asyncio.run(model.complete(prompt, SAMPLING)) for prompt in prompts]


def test_replies_come_in_order_and_what_was_asked_is_kept():
    cut = Completion(text="tw", finish=FinishReason.LENGTH, usage=Usage(completion_tokens=3, completions=1))
    model = ScriptedModel(["one", cut])
    assert isinstance(model, Model)
    assert say(model, "a", "b") == [
        Completion(text="one", finish=FinishReason.STOP, usage=Usage(completions=1)),
        cut,
    ]
    assert model.prompts == ["a", "b"]
    assert model.requests == [Request(prompt="a", sampling=SAMPLING), Request(prompt="b", sampling=SAMPLING)]


def test_a_script_that_runs_out_says_how_many_replies_it_gave():
    model = ScriptedModel(iter(["one", "two"]))
    with pytest.raises(ModelError, match="gave 2 replies"):
        say(model, "a", "b", "c")
    with pytest.raises(ModelError, match="gave 2 replies"):
        say(model, "d")
    assert model.prompts == ["a", "b", "c", "d"]


def test_an_endless_script_is_read_as_it_is_needed():
    model = ScriptedModel(itertools.cycle(["tick", "tock"]))
    assert [reply.text for reply in say(model, "a", "b", "c")] == ["tick", "tock", "tick"]


def test_a_reply_may_depend_on_the_prompt():
    chat = (Message(role="user", content="hi"),)
    by_prompt = ScriptedModel({"a": "A", chat: "hello"})
    assert [reply.text for reply in say(by_prompt, chat, "a", "a")] == ["hello", "A", "A"]
    assert [reply.text for reply in say(ScriptedModel(lambda prompt: prompt.upper()), "a", "b")] == ["A", "B"]


@pytest.mark.parametrize("prompt", ["what else", (Message(role="user", content="what else"),), ()])
def test_a_prompt_without_a_reply_is_an_error_that_shows_it(prompt):
    with pytest.raises(ModelError, match="what else" if prompt else "none for the prompt"):
        say(ScriptedModel({"a": "A"}), prompt)


def test_one_text_is_no_script():
    with pytest.raises(TypeError, match=r"\[reply\]"):
        ScriptedModel("one")

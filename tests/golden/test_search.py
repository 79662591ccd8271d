"""The published searches, replayed on every scripted scenario: order, counts, trees and recorded messages."""

import asyncio
import json

import pytest

from alpha_umi.search import Limits
from alpha_umi.search.record import Recorder
from alpha_umi.types import Reference, User
from support.folders import golden_dir
from support.search_scenarios import context_roles, expectations, play, scenarios

FOLDER = golden_dir("search")
SCENARIOS = scenarios(FOLDER)
FLAVOURS = {"umi": Reference.ALPHA_UMI, "openbmb": Reference.OPENBMB}
CASES = [(reference, name) for reference in FLAVOURS for name in expectations(FOLDER, reference)]
UNCOUNTED = {"Elo", "io_state", "is_terminal", "messages"}


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(case))
def case(request):
    reference, name = request.param
    scenario, expected = SCENARIOS[name], expectations(FOLDER, reference)[name]
    played = asyncio.run(play(scenario, published=True, limits=Limits()))
    return reference, scenario, expected, played


def crashed(expected):
    return "crash" in expected


def test_the_model_is_asked_in_the_published_order_with_the_published_context(case):
    _, _, expected, played = case
    asked = [
        {
            "path": call["path"],
            "attempt": call["attempt"],
            "roles": context_roles(call["turns"]),
            "hint": isinstance(call["turns"][-1], User) and len(call["turns"]) > 1,
        }
        for call in played.agent.calls
    ]
    letters = {"user": "u", "user!": "u!", "assistant": "a", "function": "f", "observation": "f"}
    wanted = [
        {
            "path": call["path"],
            "attempt": call["attempt"],
            "roles": [letters[role] for role in call["roles"] if role != "system"],
            "hint": call["diversity_prompt"] is not None,
        }
        for call in expected["llm_calls"]
    ]
    # Where the published code stopped on an empty reply we go on.
    assert (asked[: len(wanted)] if crashed(expected) else asked) == wanted


def test_hints_tell_of_the_same_earlier_children(case):
    _, _, expected, played = case
    for call, wanted in zip(played.agent.calls, expected["llm_calls"], strict=False):
        if wanted["diversity_prompt"] is None:
            continue
        text = wanted["diversity_prompt"]
        tried = json.JSONDecoder().raw_decode(text[text.index("[") :])[0]
        hint = call["turns"][-1].text
        lines = [line for line in hint.splitlines() if line[:1].isdigit()]
        assert len(lines) == len(tried)
        for line, one in zip(lines, tried, strict=True):
            if one["name"] == "Finish" and "return_type" in one["arguments"]:
                said = json.loads(one["arguments"]).get("final_answer", "gave up")
                assert said in line
            else:
                assert one["name"] in line
                assert one["arguments"] in line
                assert one["function_output"] in line


def test_the_tools_are_asked_in_the_published_order(case):
    _, _, expected, played = case
    if crashed(expected):
        return
    wanted = [
        (name, arguments, content)
        for name, arguments, content, code in expected["env_calls"]
        if name != "Finish" or code not in (3, 4)  # an answer and a give-up are no tool calls here
    ]
    assert played.tools.calls == wanted


def test_children_are_compared_in_the_published_order(case):
    _, _, expected, played = case
    asked = played.ranker.calls if played.ranker else []
    assert [reply for *_, reply in asked] == [call["answer"] for call in expected["rank_calls"]]
    for (_, first, second, _), wanted in zip(asked, expected["rank_calls"], strict=True):
        a, _, b = wanted["system"].partition("CANDIDATE_B_START")
        for turns, text in ((first, a), (second, b)):
            thought = next((turn.thought for turn in turns if hasattr(turn, "thought")), "")
            assert thought in text


def record(case):
    reference, scenario, expected, played = case
    if crashed(expected):
        pytest.skip("the published code stopped here")
    return Recorder(strategy=played.strategy, reference=FLAVOURS[reference], seed=scenario["seed"]).write(played.tree)


def test_counts_and_the_outcome_are_as_published(case):
    _, _, expected, played = case
    document = record(case)
    generation = document["answer_generation"]
    assert document["win"] == expected["win"]
    for key in ("query_count", "valid_data", "final_answer"):
        assert generation[key] == expected[key], key
    assert generation["total_tokens"] + played.agent.failed_tokens == expected["total_tokens"]
    recorder = Recorder(strategy=played.strategy)
    assert recorder.return_value(played.tree) == expected["return"]
    if expected["finish_type"] is not None:
        assert generation["finish_type"] == expected["finish_type"]


def plain(drawn):
    """A drawn node as far as it is compared: what a Finish call answers is its own protocol's words."""
    kept = {key: value for key, value in drawn.items() if key not in UNCOUNTED}
    if drawn.get("observation_code") in (3, 4):
        kept.pop("observation", None)
    if "children" in kept:
        kept["children"] = [plain(child) for child in drawn["children"]]
    return kept


def test_the_tree_is_as_published(case):
    _, _, expected, _ = case
    document = record(case)
    if expected["tree"] is None:
        assert [{**one, "chain": [plain(node) for node in one["chain"]]} for one in document["trys"]] == [
            {**one, "chain": [plain(node) for node in one["chain"]]} for one in expected["trys"]
        ]
    else:
        assert document["tree"]["size"] == expected["tree"]["size"]
        assert document["tree"]["max_length"] == expected["tree"]["max_length"]
        assert plain(document["tree"]["tree"]) == plain(expected["tree"]["tree"])


def test_the_recorded_messages_are_as_published(case):
    _, _, expected, _ = case

    def told(message):
        call = message.get("function_call")
        hint = message.get("valid") is False
        content = None if hint or message["role"] in ("system", "user") else message["content"]
        return message["role"], content, call and (call["name"], call["arguments"]), hint, message.get("name")

    written = record(case)["answer_generation"]["train_messages"]
    assert [[told(message) for message in row] for row in written] == [
        [told(message) for message in row] for row in expected["train_messages"] or []
    ]

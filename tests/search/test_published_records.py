"""Records of the published searches where ours write otherwise: escapes, calls of failed replies, spent queries."""

import asyncio
import json

import pytest

from alpha_umi.rollouts.runner import Rollout, decode_rollout, encode_node, encode_rollout
from alpha_umi.search import Limits, NodeStatus
from alpha_umi.search.record import Recorder
from alpha_umi.types import Trajectory
from support.search_scenarios import play

ANSWER = "Ça va: 晴れ, 21 °C"


def calls(name, content="t", **more):
    return {"content": content, "function_call": {"name": name, "arguments": "{}"}, **more}


def finishes(**arguments):
    return {"content": "done", "function_call": {"name": "Finish", "arguments": json.dumps(arguments)}}


ANSWERS = finishes(return_type="give_answer", final_answer=ANSWER)
TREE = {"tree_beam_size": 2, "answer": 1, "single_chain_max_step": 12, "max_query_count": 60}


def scenario(policy, default=ANSWERS, **changes):
    return {
        "name": "x",
        "query": "Q",
        "functions": ["look", "ask"],
        "env": {"look": ["sea", 0], "ask": ["land", 0]},
        "policy": policy,
        "default": default,
        "params": {**TREE, **changes.pop("params", {})},
        "seed": 0,
        **changes,
    }


def recorded(one, *, published=True):
    played = asyncio.run(play(one, published=published, limits=Limits()))
    return played, Recorder(strategy=played.strategy, seed=0).write(played.tree)


def drawn(node):
    yield node
    for child in node["children"]:
        yield from drawn(child)


@pytest.mark.parametrize("params", [{}, {"pass_at": 1}])
def test_an_answer_is_recorded_in_escapes_as_published_and_as_text_by_us(params):
    one = scenario({"": [calls("look")]}, params=params)
    for published in (True, False):
        _, document = recorded(one, published=published)
        generation = document["answer_generation"]
        last = generation["train_messages"][-1][-1]["function_call"]["arguments"]
        nodes = document["trys"][0]["chain"] if params else list(drawn(document["tree"]["tree"]))
        assert {generation["final_answer"], last} == {nodes[-1]["description"]}
        assert json.loads(last)["final_answer"] == ANSWER
        assert last.isascii() is published


def test_the_call_of_a_reply_with_an_error_is_run_and_its_thought_is_marked():
    one = scenario({"": [calls("look", "odd", error_code=-1)], "look({})": [calls("ask"), ANSWERS]})
    played, document = recorded(one)
    assert [name for name, *_ in played.tools.calls] == ["look", "ask"]
    thought, *others = list(drawn(document["tree"]["tree"]))[1:]
    assert (thought["pruned"], thought["observation_code"], thought["description"]) == (True, -1, "odd")
    assert not any(node["pruned"] for node in others)
    assert document["win"]
    node = played.tree.nodes[1]
    assert (node.faulty, node.status) == (True, NodeStatus.DONE)
    trajectory, nodes = Trajectory(task=played.tree.task, turns=()), tuple(played.tree.nodes)
    rollout = Rollout(set="s", trajectory=trajectory, nodes=nodes, method="m")
    assert decode_rollout(json.loads(json.dumps(encode_rollout(rollout)))).nodes == rollout.nodes
    assert "faulty" not in encode_node(played.tree.nodes[2])


def test_ours_ends_a_branch_whose_model_gave_an_error():
    played, document = recorded(scenario({"": [calls("look", "odd", error_code=-1), ANSWERS]}), published=False)
    assert played.tools.calls == []
    assert played.tree.nodes[1].status is NodeStatus.FAILED
    assert document["win"]


@pytest.mark.parametrize(("queries", "finished"), [(1, 0), (5, 1), (9, 2), (13, 3)])
def test_spent_queries_leave_every_ranked_step_above(queries, finished):
    ranked = {"with_filter": True, "max_query_count": queries}
    _, document = recorded(scenario({}, default=calls("look"), params=ranked, rank=["A"]))
    marked = [node for node in drawn(document["tree"]["tree"]) if node["finished"]]
    inputs = [node for node in marked if node["node_type"] == "Action Input"]
    assert len(inputs) == finished
    _, unranked = recorded(scenario({}, default=calls("look"), params={**ranked, "with_filter": False}))
    assert not any(node["finished"] for node in drawn(unranked["tree"]["tree"]))

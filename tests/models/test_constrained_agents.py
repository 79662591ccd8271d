"""Agents that are constrained by the grammar of their format: local models, endpoints, figures side by side."""

import asyncio
import json
from dataclasses import replace

import pytest

from alpha_umi.agent import MultiAgent, RoleModel, SingleAgent, with_confidence
from alpha_umi.arguments import Arguments, decode_arguments
from alpha_umi.errors import ConfigError, DataError, ModelError
from alpha_umi.evaluation.static import evaluate_beside, evaluate_rows, report_document, report_text
from alpha_umi.formats.load import builtin, load_format
from alpha_umi.loading.agents import endpoint_agent, open_agent
from alpha_umi.models.local import LocalModel
from alpha_umi.models.openai import Endpoint, OpenAIModel
from alpha_umi.store import decode_turn, encode_turn
from alpha_umi.types import Call, Decision, Plan, Role, Sampling, Task, TokenLogprob, ToolSpec, User
from support.endpoint_server import EndpointServer, Reply, chat_reply, text_reply
from support.grammar_walks import accepts
from support.plain_format import PLAIN
from support.tiny_models import tiny_llama, tiny_tokenizer

SHARED = builtin("shared")
TOOLS = (
    ToolSpec(name="roll", parameters={"properties": {"sides": {"type": "NUMBER"}}, "required": ["sides"]}),
    ToolSpec(name="flip", parameters={"properties": {"fair": {"type": "bool"}, "side": {"enum": ["heads", "tails"]}}}),
    ToolSpec(name="stop"),
)
TASK = Task(id="t", query="Roll or flip.", tools=TOOLS)
ASKED = (User(text=TASK.query), Plan(thought="Now.", decision=Decision.CALL))


@pytest.fixture(scope="module")
def model():
    tokenizer = tiny_tokenizer(SHARED.special_tokens, end=SHARED.end)
    tokenizer.chat_template = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
    # More rows than the tokenizer has tokens, as padded vocabularies have.
    return LocalModel(tiny_llama(len(tokenizer) + 12, context=2048), tokenizer, end=SHARED.end)


def proposals(model, *, constrained, turns, seeds=range(6)):
    """What an untrained caller proposes, drawn with each seed, all at the same time."""

    async def together():
        agents = [
            MultiAgent(
                role_models=dict.fromkeys((Role.PLANNER, Role.CALLER, Role.SUMMARIZER), role_model), format=SHARED
            )
            for role_model in (
                RoleModel(
                    model=model,
                    sampling=Sampling(temperature=1.0, max_tokens=120, seed=seed),
                    constrained=constrained(seed),
                )
                for seed in seeds
            )
        ]
        return await asyncio.gather(*(agent.propose(TASK, turns) for agent in agents))

    return [proposal.turns for proposal in asyncio.run(together())]


def is_valid(call):
    tool = next((tool for tool in TOOLS if tool.name == call.name), None)
    return tool is not None and decode_arguments(tool, call.arguments) == Arguments(values=json.loads(call.arguments))


def test_a_constrained_caller_calls_an_offered_tool_with_arguments_that_fit_however_little_it_has_learned(model):
    free = proposals(model, constrained=lambda _: False, turns=ASKED)
    assert not any(is_valid(call) for (call,) in free)
    constrained = proposals(model, constrained=lambda _: True, turns=ASKED)
    assert all(is_valid(call) for (call,) in constrained)
    assert len({call.name for (call,) in constrained}) > 1


def test_a_constrained_completion_does_not_change_the_others(model):
    mixed = proposals(model, constrained=lambda seed: seed % 2 == 0, turns=ASKED)
    assert mixed[1::2] == proposals(model, constrained=lambda _: False, turns=ASKED)[1::2]
    assert mixed[::2] == proposals(model, constrained=lambda _: True, turns=ASKED)[::2]


def test_a_constrained_backbone_writes_the_call_that_its_plan_asked_for(model):
    role_model = RoleModel(model=model, sampling=Sampling(max_tokens=120), constrained=True)
    agent = SingleAgent(backbone=role_model, format=SHARED)
    (call,) = asyncio.run(agent.propose(TASK, ASKED)).turns
    assert isinstance(call, Call)
    assert is_valid(call)


_NONE, _CALL = Decision.NONE, Decision.CALL
FORMATS = {"shared": SHARED, "template": load_format(PLAIN), "chat": builtin("chat")}


@pytest.mark.parametrize("tokens", [40, 120])
@pytest.mark.parametrize("name", FORMATS)
def test_a_constrained_planner_decides_within_its_tokens_however_little_it_has_learned(model, name, tokens):
    form = FORMATS[name]

    async def together():
        role_models = [
            RoleModel(model=model, sampling=Sampling(temperature=1.0, max_tokens=tokens, seed=seed), constrained=True)
            for seed in range(4)
        ]
        asked = (User(text=TASK.query),)
        return await asyncio.gather(*(each.complete_turn(Role.PLANNER, form, TASK, asked) for each in role_models))

    for proposal in asyncio.run(together()):
        (plan,) = proposal.turns
        assert plan.decision is not Decision.NONE
        assert proposal.usage.completion_tokens <= tokens


@pytest.mark.parametrize("name", FORMATS)
def test_a_constrained_backbone_ends_its_thought_within_its_tokens(model, name):
    role_model = RoleModel(model=model, sampling=Sampling(temperature=1.0, max_tokens=400, seed=1), constrained=True)
    done = asyncio.run(role_model.complete_turn(Role.BACKBONE, FORMATS[name], TASK, (User(text=TASK.query),)))
    assert done.turns[0].decision is not Decision.NONE


def test_a_tokenizer_without_the_formats_tokens_cannot_be_constrained():
    tokenizer = tiny_tokenizer(end="</s>")
    model = LocalModel(tiny_llama(len(tokenizer)), tokenizer, end="</s>")
    with pytest.raises(ModelError, match="special token"):
        proposals(model, constrained=lambda _: True, turns=ASKED[:1], seeds=[0])


# --- endpoints --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "sent"),
    [
        ("structured_outputs", lambda body: body["structured_outputs"]["grammar"]),
        ("guided_grammar", lambda body: body["guided_grammar"]),
        ("llguidance", lambda body: body["grammar"].removeprefix("%llguidance {}\n")),
        ("ebnf", lambda body: body["ebnf"].removeprefix("%llguidance {}\n")),
    ],
)
def test_an_endpoint_is_sent_the_grammar_in_its_own_way(field, sent):
    grammar = SHARED.grammar(Role.CALLER, TASK)

    async def ask():
        async with EndpointServer(Reply(body=text_reply("stop\n{}"))) as server:
            async with OpenAIModel(Endpoint(base_url=server.url, model="m", grammar=field)) as model:
                role_model = RoleModel(model=model, constrained=True)
                proposal = await role_model.complete_turn(Role.CALLER, SHARED, TASK, ASKED)
            return proposal.turns, server.received[0].body

    turns, body = asyncio.run(ask())
    assert turns == (Call(name="stop", arguments="{}"),)
    assert sent(body) == grammar
    assert grammar.startswith("start: call")


@pytest.mark.parametrize(
    ("role", "text", "turns"),
    [
        (Role.PLANNER, "I look.\nObservation: sunny\nNext: conclusion.", (Plan(thought="I look.", decision=_NONE),)),
        (Role.PLANNER, "I look.\nNext: caller.\n\n**Observation 2:** x", (Plan(thought="I look.", decision=_CALL),)),
        (Role.PLANNER, "I look.\n\nObservation 2.\nIt is dry.", (Plan(thought="I look.\n", decision=_NONE),)),
        (Role.PLANNER, "I look.\n## Observation #3\ndry", (Plan(thought="I look.", decision=_NONE),)),
        (Role.PLANNER, "I look.\nObservation", (Plan(thought="I look.", decision=_NONE),)),
        (Role.PLANNER, "I look.\nTool output (1) - dry", (Plan(thought="I look.", decision=_NONE),)),
        (Role.PLANNER, "I look.\nObservation 2 says dry.\nObservations\nObservation two.\nNext: caller.",
         (Plan(thought="I look.\nObservation 2 says dry.\nObservations\nObservation two.", decision=_CALL),)),
        (Role.PLANNER, "\nObservation: sunny", (Plan(thought="", decision=_NONE),)),
        (Role.PLANNER, "Observation: dry.\nNext: caller.", (Plan(thought="Observation: dry.", decision=_CALL),)),
        (Role.BACKBONE, "I look.\nObservation: x\nconclusion: y", (Plan(thought="I look.", decision=_NONE),)),
        (Role.BACKBONE, "I look.\nAction: roll\nAction Input: {}\nObservation: x",
         (Plan(thought="I look.", decision=_CALL), Call(name="roll", arguments="{}"))),
    ],
)  # fmt: skip
def test_an_observation_that_a_model_makes_up_is_no_part_of_its_turn(role, text, turns):
    assert FORMATS["chat"].parse(role, text) == turns


def test_chat_stops_where_an_observation_would_be_made_up(model):
    invented = "I look it up.\nNext: caller.\nObservation: It is sunny."

    async def ask():
        async with EndpointServer(Reply(body=chat_reply(invented))) as server:
            async with OpenAIModel(Endpoint(base_url=server.url, model="m")) as endpoint:
                role_model = RoleModel(model=endpoint, sampling=Sampling(stop=("END",)))
                proposal = await role_model.complete_turn(Role.PLANNER, FORMATS["chat"], TASK, ASKED[:1])
            return proposal.turns, server.received[0].body

    turns, body = asyncio.run(ask())
    assert turns == (Plan(thought="I look it up.", decision=Decision.CALL),)
    assert body["stop"] == ["END", "\nObservation:", "\nObservation 2.", "\nObservation 2:"]
    grammar = FORMATS["chat"].grammar(Role.PLANNER, TASK)
    for thought, allowed in (
        ("It is\nsunny.", True),
        ("It is\n**Observation 2**: sunny.", False),
        ("It is\nObservation 2.\nsunny.", False),
        ("It is\nObservation", False),
        ("Observation: sunny.", False),
        ("Observation 2 says sunny.\nObservations", True),
    ):
        assert accepts(grammar, f"{thought}\nNext: caller.", special=False) == allowed


@pytest.mark.parametrize("field", ["structured_outputs", "llguidance"])
@pytest.mark.parametrize("form", ["shared", "chat"])
def test_a_planner_behind_an_endpoint_that_runs_out_of_tokens_is_asked_for_its_decision(field, form):
    thought, mark = "It rains and", {"shared": "<|call|>", "chat": "\nNext: caller."}[form]

    def reply(text, finish):
        body = chat_reply(text) if form == "chat" else text_reply(text)
        body["choices"][0]["finish_reason"] = finish
        return Reply(body=body)

    async def ask():
        async with EndpointServer(reply(thought, "length"), reply(mark, "stop")) as server:
            async with OpenAIModel(Endpoint(base_url=server.url, model="m", grammar=field)) as model:
                role_model = RoleModel(model=model, constrained=True)
                proposal = await role_model.complete_turn(Role.PLANNER, FORMATS[form], TASK, ASKED[:1])
            return proposal, [request.body for request in server.received]

    proposal, (first, second) = asyncio.run(ask())
    assert proposal.turns == (Plan(thought=thought, decision=Decision.CALL),)
    assert proposal.usage.completions == 2
    if form == "chat":
        assert second["messages"] == [*first["messages"], {"role": "assistant", "content": thought}]
        assert second.get("continue_final_message", False) == (field == "structured_outputs")
    else:
        assert second["prompt"] == first["prompt"] + thought


def test_an_endpoint_that_takes_no_grammar_is_refused_before_anything_is_asked():
    config = endpoint_agent("http://localhost:1/v1", "m").model_copy(update={"constrained": True})
    with pytest.raises(ConfigError, match=r"planner is to be constrained .* by 'grammar'"):
        open_agent(config)


# --- figures ----------------------------------------------------------------------------------------------


def row(prediction, *, constrained, reference="one Next: caller.</s>caller: Action: roll\nAction Input: {}</s>"):
    return {"tools": [{"Name": "roll"}], "reference": reference, "predictions": prediction, "constrained": constrained}


WRONG = "one Next: caller.</s>caller: Action: rolls\nAction Input: {}</s>"
FREE = [row(WRONG, constrained=False), row(WRONG, constrained=False)]
HELD = [row(each["reference"], constrained=True) for each in FREE]


def test_free_and_held_figures_stand_side_by_side():
    report = evaluate_beside(FREE, HELD)
    text, document = report_text(report), report_document(report)
    line = next(line for line in text.splitlines() if line.startswith("| hallucination_rate"))
    assert [cell.strip() for cell in line.split("|")[2:5:2]] == ["100.0", "0.0"]
    assert document["metrics"]["hallucination_rate"]["value"] == 1.0
    assert document["constrained"]["metrics"]["hallucination_rate"]["value"] == 0.0
    assert json.loads(json.dumps(document)) == document


def test_held_figures_alone_ask_for_the_free_ones():
    assert "--constrained" in report_text(evaluate_rows(HELD))
    assert "--constrained" not in report_text(evaluate_rows(FREE))


@pytest.mark.parametrize(
    ("free", "constrained", "said"),
    [
        (FREE, HELD[:1], "has 1 rows"),
        (FREE, [HELD[0], row(WRONG, constrained=True, reference="two Next: give up.")], "row 1 is another step"),
        (HELD, FREE, "must hold unconstrained predictions"),
        (FREE, FREE, "must hold unconstrained predictions"),
    ],
)
def test_other_steps_are_not_put_beside_each_other(free, constrained, said):
    with pytest.raises(DataError, match=said):
        evaluate_beside(free, constrained)


# --- confidence -------------------------------------------------------------------------------------------


def test_a_local_callers_call_has_the_mean_log_probability_of_what_the_model_chose(model):
    """The same as a model that reads the whole completion gives those tokens; forced ones count for none."""
    free = proposals(model, constrained=lambda _: False, turns=ASKED, seeds=[3])[0][-1]
    held = proposals(model, constrained=lambda _: True, turns=ASKED, seeds=[3])[0][-1]
    assert free.confidence < 0
    assert held.confidence < 0

    async def written():
        role_model = RoleModel(model=model, sampling=Sampling(temperature=1.0, max_tokens=120, seed=3))
        prompt = SHARED.render(Role.CALLER, TASK, ASKED)
        return await model.complete(prompt, replace(role_model.sampling, logprobs=True))

    said = asyncio.run(written())
    mean = sum(token.logprob for token in said.logprobs) / len(said.logprobs)
    assert free.confidence == pytest.approx(mean, abs=1e-3)


def test_of_a_whole_step_the_tokens_of_the_call_count_alone():
    plan, call = Plan(thought="Now.", decision=Decision.CALL), Call(name="roll", arguments='{"sides": 6}')
    tokens = [
        ("Now.", -9.0),
        (" Action: ", -9.0),
        ("roll", -1.0),
        ("\n", None),
        ('{"sides"', -2.0),
        (": 6}", -3.0),
        ("</s>", -9.0),
    ]
    told = tuple(TokenLogprob(text=text, logprob=logprob) for text, logprob in tokens)
    assert with_confidence((plan, call), told)[1].confidence == -2.0
    assert with_confidence((plan, call), told)[1] == call
    assert with_confidence((plan, call), ()) == (plan, call)
    assert with_confidence((call,), told[3:4])[0].confidence is None


def test_a_call_keeps_its_confidence_on_disk_and_one_of_another_kind_is_refused():
    call = Call(name="roll", arguments="{}", confidence=-0.25)
    row = encode_turn(call)
    assert decode_turn(row).confidence == -0.25
    assert "confidence" not in encode_turn(Call(name="roll", arguments="{}"))
    for wrong in (0.5, "high", True, float("nan")):
        with pytest.raises(ValueError, match="confidence"):
            decode_turn({**row, "confidence": wrong})

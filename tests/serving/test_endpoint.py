"""`umi serve`: OpenAI's client and an agent, with tools of the client's and of the server's."""

import asyncio
import json

import httpx2
import openai
import pytest

import alpha_umi as umi
from alpha_umi.serving.endpoint.replying import final_text
from alpha_umi.types import Decision, Plan
from support.agent_server import WorldTask, serving
from support.coded_agents import Echo
from support.waiting import eventually

TASK = "G1_tool:7"
ECHO = {
    "type": "function",
    "function": {"name": "echo", "parameters": {"type": "object", "properties": {"text": {"type": "string"}}}},
}


@pytest.fixture(scope="module")
def tiny():
    """The bundled agent, served, and in process."""
    with serving() as served, umi.load() as agent:
        yield served, agent


@pytest.fixture(scope="module")
def echo():
    with serving(Echo()) as served:
        yield served


def client(served, **options):
    return openai.OpenAI(base_url=served.url, api_key="none", max_retries=0, **options)


def talk(complete, task):
    """Run a task's tools here until the agent answers; the answer, and all messages."""
    messages = [{"role": "user", "content": task.query}]
    for _ in range(12):
        message = complete(messages)
        if not message.tool_calls:
            return message.content, messages
        messages.append(message.model_dump(exclude_none=True, exclude={"reasoning_content"}))
        for call in message.tool_calls:
            said = asyncio.run(task.execute(call.function.name, call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": said})
    raise AssertionError("no answer")


def test_a_tool_round_trip_of_the_client_answers_as_the_agent_does_in_process(tiny):
    served, agent = tiny
    here = agent.ask(world_task=TASK)
    task = WorldTask(TASK)

    def complete(messages):
        done = client(served).chat.completions.create(model="umi-tiny", messages=messages, tools=task.tools)
        assert done.choices[0].finish_reason == ("tool_calls" if done.choices[0].message.tool_calls else "stop")
        return done.choices[0].message

    answer, _ = talk(complete, task)
    assert (answer, tuple(task.called)) == (here.answer, here.calls)


def test_a_streamed_round_trip_is_the_same_piece_by_piece(tiny):
    served, agent = tiny
    here = agent.ask(world_task=TASK)
    task = WorldTask(TASK)
    pieces = []

    def complete(messages):
        pieces.clear()
        with client(served).chat.completions.stream(model="umi-tiny", messages=messages, tools=task.tools) as events:
            pieces.extend(event.delta for event in events if event.type == "content.delta")
            return events.get_final_completion().choices[0].message

    answer, messages = talk(complete, task)
    assert (answer, tuple(task.called)) == (here.answer, here.calls)
    assert "".join(pieces) == here.answer
    assert len(pieces) > 3
    assert len({message["tool_call_id"] for message in messages if message["role"] == "tool"}) == len(task.called)


def test_tools_of_the_server_answer_in_one_reply_with_plans_as_reasoning(tiny):
    served, agent = tiny
    query = "What is the weather in Lima?"
    here = agent.ask(query)
    done = served.chat(query).json()
    message = done["choices"][0]["message"]
    assert message["content"] == here.answer
    assert here.calls[0].name in message["reasoning_content"]
    usage = done["usage"]
    assert usage["prompt_tokens"] == here.usage.prompt_tokens
    assert usage["completion_tokens"] == here.usage.completion_tokens
    assert 0 < usage["prompt_tokens_details"]["cached_tokens"] < usage["prompt_tokens"]


def test_an_agent_that_is_code_is_served_too(echo):
    first = echo.chat("hello", tools=[ECHO]).json()["choices"][0]
    assert first["finish_reason"] == "tool_calls"
    call = first["message"]["tool_calls"][0]
    assert json.loads(call["function"]["arguments"]) == {"text": "hello"}
    messages = [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "seen"},
    ]
    second = echo.post(model="agent", messages=messages, tools=[ECHO]).json()["choices"][0]
    assert second["message"]["content"] == "hello: seen"


def test_a_client_that_hangs_up_leaves_nothing_in_the_engine(tiny):
    served, _ = tiny
    body = {"model": "umi-tiny", "messages": [{"role": "user", "content": "What is the weather in Lima?"}]}
    for streams in (True, False) * 3:
        with httpx2.Client(timeout=0.05 if not streams else 30) as http:
            try:
                with http.stream("POST", f"{served.url}/chat/completions", json={**body, "stream": streams}) as reply:
                    next(reply.iter_raw())
            except httpx2.TimeoutException:
                pass
    base = served.routes.served.loaded.models[0].base
    eventually(lambda: not served.routes.in_progress and base.engine.idle)
    scheduler = base.engine.scheduler
    assert not scheduler.running
    assert not scheduler.waiting
    assert scheduler.kv_cache.free_request_caches == scheduler.kv_cache.request_caches
    assert served.chat("What is the weather in Lima?").status_code == 200


def test_an_answer_follows_the_schema_of_the_request(tiny):
    served, _ = tiny
    schema = {"type": "object", "properties": {"degrees": {"type": "integer"}}, "required": ["degrees"]}
    form = {"type": "json_schema", "json_schema": {"name": "weather", "schema": schema}}
    said = served.chat("What is the weather in Lima?", response_format=form, max_completion_tokens=300).json()
    assert isinstance(json.loads(said["choices"][0]["message"]["content"])["degrees"], int)


def test_tool_choice_decides_whether_a_tool_is_called(tiny):
    served, _ = tiny
    task = WorldTask(TASK)
    name = task.functions[1]["name"]
    for choice, finish in (("none", "stop"), ("required", "tool_calls"), ({"function": {"name": name}}, "tool_calls")):
        whole = served.chat(task.query, tools=task.tools, tool_choice=choice).json()
        said = whole["choices"][0]
        assert whole["usage"]["completion_tokens"] > 0
        assert said["finish_reason"] == finish
        if isinstance(choice, dict):
            assert said["message"]["tool_calls"][0]["function"]["name"] == name


def test_arguments_of_a_constrained_call_are_streamed_while_they_are_written(tiny):
    served, _ = tiny
    task = WorldTask(TASK)
    asked = {"model": "umi-tiny", "tool_choice": "required"}
    whole = served.chat(task.query, tools=task.tools, **asked).json()["choices"][0]["message"]["tool_calls"]
    messages = [{"role": "user", "content": task.query}]
    with client(served).chat.completions.stream(messages=messages, tools=task.tools, **asked) as events:
        pieces = [each.arguments_delta for each in events if each.type == "tool_calls.function.arguments.delta"]
        [call] = events.get_final_completion().choices[0].message.tool_calls
    assert len(pieces) > 3
    assert (call.function.name, "".join(pieces)) == (whole[0]["function"]["name"], whole[0]["function"]["arguments"])
    assert served.routes.state.find_call(call.id).call.arguments == "".join(pieces)
    tools = [{"type": "function", **function} for function in task.functions]
    with client(served).responses.stream(input=task.query, tools=tools, **asked) as events:
        said = [each.delta for each in events if each.type == "response.function_call_arguments.delta"]
        assert events.get_final_response().output[-1].arguments == "".join(said) == "".join(pieces)
    cut = served.chat(task.query, tools=task.tools, stream=True, max_completion_tokens=48, **asked).text
    assert '"finish_reason":"length"' in cut
    assert '"finish_reason":"tool_calls"' not in cut


def test_budget_log_probabilities_and_stop_are_kept(tiny):
    served, _ = tiny
    cut = served.chat("What is the weather in Lima?", max_completion_tokens=5).json()
    assert cut["choices"][0]["finish_reason"] == "length"
    assert cut["usage"]["completion_tokens"] <= 6
    whole = served.chat("What is the weather in Lima?", logprobs=True, stop=" and").json()["choices"][0]
    assert whole["message"]["content"] == "It is 9 C"
    assert "".join(token["token"] for token in whole["logprobs"]["content"]) == whole["message"]["content"]


def test_stop_ends_answers_of_roles_that_write_more_than_answers_and_of_agents_in_code(tiny, echo):
    served, _ = tiny
    query = "What is the weather in Lima?"
    words = served.chat(query, model="backbone").json()["choices"][0]["message"]["content"].split()
    stop, kept = f"{words[2]} {words[3]}", " ".join(words[:2]) + " "
    whole = served.chat(query, model="backbone", logprobs=True, stop=["not there", stop]).json()["choices"][0]
    assert whole["message"]["content"] == kept
    assert "".join(token["token"] for token in whole["logprobs"]["content"]) == kept
    messages = [{"role": "user", "content": query}]
    with client(served).chat.completions.stream(model="backbone", messages=messages, stop=stop) as events:
        pieces = [event.delta for event in events if event.type == "content.delta"]
        assert events.get_final_completion().choices[0].finish_reason == "stop"
    assert len(pieces) > 1, "streamed"
    assert "".join(pieces) == kept
    assert final_text((Plan(thought="I cannot. \n ", decision=Decision.GIVE_UP),)) == "I cannot."
    said = echo.chat("a b c", stop=" c").json()["choices"][0]
    assert (said["message"]["content"], said["finish_reason"]) == ("a b", "stop")


def test_choices_are_the_replies_to_requests_with_the_seeds_that_follow(tiny):
    served, _ = tiny
    task = WorldTask(TASK)
    asked = {"tools": task.tools, "temperature": 2.0, "max_completion_tokens": 60}
    alone = [served.chat(task.query, seed=seed, **asked).json() for seed in (5, 6, 7)]
    whole = served.chat(task.query, seed=5, n=3, **asked).json()
    thoughts = [each["choices"][0]["message"]["reasoning_content"] for each in alone]
    assert len(set(thoughts)) > 1
    assert [choice["message"]["reasoning_content"] for choice in whole["choices"]] == thoughts
    assert [choice["index"] for choice in whole["choices"]] == [0, 1, 2]
    total = sum(each["usage"]["completion_tokens"] for each in alone)
    assert whole["usage"]["completion_tokens"] == total
    messages = [{"role": "user", "content": task.query}]
    with client(served).chat.completions.stream(
        model="umi-tiny", messages=messages, seed=5, n=3, stream_options={"include_usage": True}, **asked
    ) as events:
        streamed = [each for each in events if each.type == "chunk"][-1].snapshot
    assert [choice.message.reasoning_content for choice in streamed.choices] == thoughts
    assert streamed.usage.completion_tokens == total
    refused = served.chat(task.query, n=2)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "n")
    assert len(served.chat(task.query, n=2, tool_choice="none").json()["choices"]) == 2


def test_the_likeliest_tokens_stand_beside_those_of_an_answer_and_of_a_role(tiny):
    served, _ = tiny
    asked = {"logprobs": True, "top_logprobs": 3}
    plan = served.chat(WorldTask(TASK).query, model="planner", tools=WorldTask(TASK).tools, **asked)
    for said in (served.chat("What is the weather in Lima?", **asked), plan):
        choice = said.json()["choices"][0]
        tokens = choice["logprobs"]["content"]
        assert "".join(token["token"] for token in tokens) == choice["message"]["content"]
        for token in tokens:
            values = [each["logprob"] for each in token["top_logprobs"]]
            assert token["top_logprobs"][0]["token"] == token["token"], "greedy"
            assert len(values) == 3
            assert values == sorted(values, reverse=True)
    chat = served.chat("What is the weather in Lima?", **asked).json()["choices"][0]
    asked = {"model": "umi-tiny", "input": "What is the weather in Lima?", "include": ["message.output_text.logprobs"]}
    with client(served).responses.stream(**asked, top_logprobs=3) as events:
        told = [event.logprobs for event in events if event.type == "response.output_text.done"]
        [part] = events.get_final_response().output[-1].content
    for tokens in (part.logprobs, *told):
        assert [token.to_dict() for token in tokens] == chat["logprobs"]["content"]
    alone = client(served).responses.create(**asked).output[-1].content[0].logprobs
    assert [(token.token, token.top_logprobs) for token in alone] == [(token.token, []) for token in part.logprobs]
    assert served.chat("x", top_logprobs=1).json()["error"]["param"] == "top_logprobs"


def test_each_role_is_a_model(tiny):
    served, _ = tiny
    task = WorldTask(TASK)
    plan = served.chat(task.query, model="planner", tools=task.tools).json()["choices"][0]["message"]["content"]
    messages = [{"role": "user", "content": task.query}, {"role": "assistant", "content": plan.partition("<|")[0]}]
    call = served.post(model="caller", messages=messages, tools=task.tools).json()["choices"][0]
    assert call["finish_reason"] == "tool_calls"
    assert call["message"]["tool_calls"][0]["function"]["name"] in plan
    step = served.chat(task.query, model="backbone", tools=task.tools).json()["choices"][0]
    assert step["finish_reason"] == "tool_calls"
    assert served.chat("x", model="summarizer").json()["choices"][0]["finish_reason"] == "stop"

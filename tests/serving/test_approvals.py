"""Approval of calls over the API: a reply ends with the question, and the request with the decision takes it up."""

import json

import httpx2
import openai
import pytest

from alpha_umi import tool
from alpha_umi.types import Answer, Call
from support.agent_server import serving
from support.coded_agents import Scripted
from support.waiting import eventually

ERASE = Call(name="erase", arguments='{"name": "a"}')


class Shelf:
    """Notes of a test, with the tools that list and erase them."""

    def __init__(self):
        self.notes = ["a", "b"]

    @property
    def tools(self):
        @tool(confirm=True)
        def erase(name: str) -> str:
            """Erase a note."""
            self.notes.remove(name)
            return f"erased {name}"

        @tool
        def count() -> int:
            """Count the notes."""
            return len(self.notes)

        return [erase, count]


@pytest.fixture
def shelf():
    return Shelf()


@pytest.fixture
def served(shelf):
    agent = Scripted(Call(name="count", arguments="{}"), ERASE, Answer(text="done"))
    with serving(agent, {"tools": shelf.tools}) as found:
        yield found


@pytest.fixture
def client(served):
    with openai.OpenAI(base_url=served.url, api_key="none", max_retries=0) as found:
        yield found


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("approve", [True, False])
def test_a_chat_client_approves_or_refuses_a_call(client, served, shelf, approve, streams):
    def ask(**more):
        body = {"model": "agent", "messages": [{"role": "user", "content": "erase a"}], **more}
        if not streams:
            return client.chat.completions.create(**body)
        with client.chat.completions.stream(**body) as chunks:
            last = [chunk for chunk in chunks if chunk.type == "chunk"][-1].chunk
            return last if last.model_extra.get("status") else chunks.get_final_completion()

    asked = ask()
    assert asked.status == "requires_action"
    action = asked.required_action["approve_tool_call"]
    assert (action["name"], action["arguments"]) == ("erase", ERASE.arguments)
    assert shelf.notes == ["a", "b"], "nothing runs before the decision"
    done = ask(extra_body={"approval": {"id": action["id"], "approve": approve}})
    assert done.choices[0].message.content == "done"
    assert shelf.notes == (["b"] if approve else ["a", "b"])
    assert ("erased a" if approve else "declined") in done.choices[0].message.reasoning_content
    again = served.chat("erase a", approval={"id": action["id"], "approve": True})
    assert (again.status_code, again.json()["error"]["code"]) == (404, "approval_not_found")
    eventually(lambda: served.routes.in_progress == 0)


@pytest.mark.parametrize("approve", [True, False])
def test_a_responses_client_answers_an_approval_request_as_of_an_mcp_tool(client, shelf, approve):
    with client.responses.stream(model="agent", input="erase a") as events:
        asked = [*events][-1].response
    [request] = [item for item in asked.output if item.type == "mcp_approval_request"]
    assert (request.name, request.arguments, shelf.notes) == ("erase", ERASE.arguments, ["a", "b"])
    decision = {"type": "mcp_approval_response", "approval_request_id": request.id, "approve": approve}
    done = client.responses.create(model="agent", previous_response_id=asked.id, input=[decision])
    [call] = [item for item in done.output if item.type == "mcp_call"]
    assert call.approval_request_id == request.id
    assert ("erased a" if approve else "declined") in call.output
    assert done.output_text == "done"
    assert shelf.notes == (["b"] if approve else ["a", "b"])
    follow = client.responses.create(model="agent", previous_response_id=done.id, input="and now?")
    assert follow.status == "completed", "a conversation with approvals goes on"


def test_a_call_that_nobody_decides_on_in_time_is_refused(shelf):
    agent = Scripted(ERASE, Answer(text="done"))
    with serving(agent, {"tools": shelf.tools}, approval_s=0.05) as served:
        asked = served.chat("erase a").json()
        eventually(lambda: not served.routes.served.approvals._parked)
        action = asked["required_action"]["approve_tool_call"]
        late = served.chat("erase a", approval={"id": action["id"], "approve": True})
        assert late.json()["error"]["code"] == "approval_not_found"
        lines = [*served.events("/runs", turns=[{"turn": "user", "text": "erase a"}])]
        assert [line["type"] for line in lines][-1] == "run.ended"
        assert any("declined" in json.dumps(line) for line in lines)
        assert shelf.notes == ["a", "b"]


def test_no_mcp_server_is_named_where_the_server_was_not_started_so(served):
    said = httpx2.post(f"{served.root}/mcp", json={"source": "touch /tmp/started"})
    assert (said.status_code, said.json()["error"]["code"]) == (403, "mcp_not_allowed")
    run = httpx2.post(f"{served.root}/runs", json={"turns": [{"turn": "user", "text": "x"}], "mcp": "touch"})
    assert run.status_code == 400


def test_a_run_that_stays_open_goes_on_after_its_decision(served, shelf):
    types = []
    for event in served.events("/runs", turns=[{"turn": "user", "text": "erase a"}]):
        types.append(event["type"])
        if event["type"] == "run.approval":
            said = httpx2.post(f"{served.root}/runs/approvals/{event['id']}", json={"approve": True})
            assert said.json() == {"id": event["id"], "approve": True}
            assert shelf.notes
    assert types[-1] == "run.ended"
    assert "run.approval" in types
    assert shelf.notes == ["b"]

"""The clients of docs/endpoint.md against `umi serve`: a tool round trip and a streamed answer of each, as printed."""

import asyncio
import contextlib
import io
import os
import runpy

import pytest

import alpha_umi as umi
from support.agent_server import serving
from support.documents import blocks_of
from support.folders import REPOSITORY
from support.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]
ADDRESS = "http://127.0.0.1:8000/v1"
PAGE = REPOSITORY / "docs" / "endpoint.md"
EXAMPLES = [block for block in blocks_of(PAGE) if block.language == "python" and ADDRESS in block.text]
QUERY = "What is the weather in Lima?"


@pytest.fixture(scope="module")
def served():
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it is fetched
    with serving() as found:
        yield found


@pytest.fixture(scope="module")
def answer():
    """What the agent answers in process."""
    with umi.load() as agent:
        return agent.ask(QUERY).answer


def heading(block):
    before = PAGE.read_text(encoding="utf-8").splitlines()[: block.line]
    return next(line.removeprefix("### ") for line in reversed(before) if line.startswith("### "))


@pytest.mark.parametrize("block", [pytest.param(block, id=heading(block)) for block in EXAMPLES])
def test_an_example_prints_what_the_agent_answers_in_process(block, served, answer, tmp_path):
    script = tmp_path / "example.py"  # smolagents reads the source of its tools
    script.write_text(block.text.replace(ADDRESS, served.url))
    printed = io.StringIO()
    before = served.routes.metrics.registry.get_sample_value("umi_replies_total", {"finish": "tool_calls"}) or 0
    with contextlib.redirect_stdout(printed):
        runpy.run_path(str(script))
    calls = served.routes.metrics.registry.get_sample_value("umi_replies_total", {"finish": "tool_calls"})
    assert printed.getvalue().strip().endswith(answer)
    assert calls > before, "the client ran no tool"
    eventually(lambda: served.routes.in_progress == 0)
    asyncio.set_event_loop(None)


def test_every_client_of_the_extra_has_an_example():
    wanted = {"openai", "langchain_openai", "agents", "pydantic_ai", "smolagents", "litellm"}
    assert {name for name in wanted for block in EXAMPLES if name in block.text} == wanted

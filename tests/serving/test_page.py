"""The web page of `umi serve` in headless Chromium: what people see and do, and what the page never does."""

import json
import re
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.agent_server import serving
from support.coded_agents import Echo
from support.typing_agent import FORMAT, HOSTILE, TOOLS, Pace, typing_agent
from support.waiting import eventually

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")]
SUPPORT = Path(__file__).parents[1] / "support"
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 860}
LONGEST_MS = 90_000
"""Wait for what a page shows: long, for a machine that others use, too."""


@pytest.fixture(scope="module")
def paces():
    return Pace()


@pytest.fixture
def pace(paces):
    """The pace of the served models, which is free again when the test ends."""
    yield paces
    paces.hold()


@pytest.fixture(scope="module")
def served(paces, tmp_path_factory):
    with serving(typing_agent(paces), {"tools": TOOLS}, form=FORMAT, allow_mcp=True,
                 keep=tmp_path_factory.mktemp("kept")) as found:  # fmt: skip
        yield found


@pytest.fixture(scope="module")
def browser():
    sync_api.expect.set_options(timeout=LONGEST_MS)
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@contextmanager
def opened(browser, root, size=DESK, path="/"):
    """A page that asked no other host, and had neither an error nor a violation of its policy."""
    with browser.new_context(viewport=size, color_scheme="dark" if size is PHONE else "light") as context:
        page = context.new_page()
        page.set_default_timeout(LONGEST_MS)
        asked, said = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(root + path)
        yield page
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], "the page scrolls sideways"
        assert [url for url in asked if not url.startswith(f"{root}/")] == []
        assert [each for each in said if " 400 " not in each and "401" not in each] == []


@pytest.fixture
def page(browser, served):
    with opened(browser, served.root) as found:
        yield found


def ask(page, question):
    page.locator("#strategy option").first.wait_for(state="attached")
    page.fill("#question", question)
    page.keyboard.press("Enter")
    return page.locator(".exchange").last


def expect(found, words=None, *, count=None):
    """Wait until elements are there, so many, or until one reads so; what a page shows comes about by itself."""
    if count is not None:
        sync_api.expect(found).to_have_count(count)
    elif words is not None:
        sync_api.expect(found).to_have_text(words)
    else:
        sync_api.expect(found).to_be_visible()


def ended(exchange):
    """The exchange, once its reply has ended and is shown whole."""
    sync_api.expect(exchange).to_have_attribute("aria-busy", "false")
    return exchange


def answer(exchange):
    return ended(exchange).locator(".answer").inner_text().strip()


def test_a_question_is_answered_while_its_steps_are_seen(page, pace):
    pace.hold(words=3)
    exchange = ask(page, "weather, word by word")
    expect(exchange.locator(".live p"), re.compile("^I need"))
    assert exchange.locator(".answer .text").count() == 0, "a plan is seen while it is written"
    expect(page.locator("#stop"))
    pace.hold()
    assert answer(exchange).startswith("In Lima it is 9 C and foggy")
    expect(page.locator("#send"))
    assert not exchange.locator(".turn").first.is_visible(), "the steps fold when the answer is there"
    exchange.locator(".steps > summary").click()
    expect(exchange.locator(".who"), ["planner", "caller", "tool", "planner", "summarizer"])
    second = ask(page, "weather again")
    answer(second)
    sent = [row["turns"] for row in kept(page)][-1]
    assert [turn["text"] for turn in sent if turn["turn"] == "user"] == ["weather, word by word", "weather again"]


def kept(page):
    """The runs that the server keeps, whole."""
    fetch = "async (path) => (await fetch(path)).json()"
    ids = [run["id"] for run in page.evaluate(fetch, "/runs")["data"]]
    return [page.evaluate(fetch, f"/runs/{number}") for number in reversed(ids)]


def test_a_tree_grows_and_a_step_of_it_is_retried(page, pace):
    page.locator("#strategy option").first.wait_for(state="attached")
    page.select_option("#strategy", "dfsdt")
    pace.hold(plans=2)
    exchange = ask(page, "travel to Geneva")
    nodes = exchange.locator(".tree .wide g")
    for size in (3, 4, 5):
        expect(nodes, count=size)
        pace.hold(plans=1)
    pace.hold()
    assert "train" in answer(exchange)
    expect(nodes, count=6)
    assert exchange.locator("circle.gave_up").count() >= 1
    exchange.locator('g[data-node="2"]').click()
    expect(exchange.locator(".turns"), re.compile("leads nowhere"))
    assert "train" in answer(exchange), "the answer stays when another branch is looked at"
    exchange.locator('g[data-node="4"]').press("Enter")
    exchange.get_by_role("button", name="Retry this step").click()
    assert "train" in answer(exchange)
    expect(nodes, count=8)
    root = [run for run in kept(page) if run["task"]["query"] == "travel to Geneva"][-1]["nodes"][0]
    assert [turn["turn"] for turn in root["turns"]] == ["user", "plan", "call", "observation"]


@pytest.mark.parametrize(
    ("button", "said"), [("Approve", "The note is erased."), ("Refuse", "I left the note as it is.")]
)
def test_a_call_that_asks_is_approved_or_refused(page, button, said):
    exchange = ask(page, "erase my note")
    card = exchange.get_by_role("group", name="approval of erase_note")
    sync_api.expect(card).to_contain_text("shopping")
    card.get_by_role("button", name=button).press("Enter")
    assert answer(exchange) == said
    expect(exchange.locator(".approval"), count=0)


def test_a_reply_is_stopped_and_the_server_stops_too(page, served):
    exchange = ask(page, "endless")
    expect(exchange.locator(".live"))
    page.keyboard.press("Escape")
    assert answer(exchange) == "Stopped."
    eventually(lambda: served.routes.in_progress == 0)
    assert answer(ask(page, "weather after that")).startswith("In Lima")


def test_hostile_text_of_users_tools_and_models_is_text_on_a_phone(browser, served):
    with opened(browser, served.root, PHONE) as page:
        exchange = ask(page, f"hostile {HOSTILE} {'x' * 500}")
        assert answer(exchange) == HOSTILE
        exchange.locator(".steps > summary").click()
        assert HOSTILE in exchange.locator(".question").inner_text()
        assert exchange.locator(".tool pre").inner_text() == HOSTILE
        assert page.locator("main img, main script, main b:has(*)").count() == 0
        assert "alpha-umi" in page.title()
        page.goto(f"{served.root}/#runs/{kept(page)[-1]['id']}")
        expect(page.locator(".whole .tool pre"), HOSTILE)
        assert page.locator("main img").count() == 0


def test_a_tool_of_ones_own_is_answered_by_hand(page):
    page.click("#open-tools")
    expect(page.get_by_text("asks first"), count=1)
    page.fill("dialog textarea", "{broken")
    page.get_by_role("button", name="Add tool").click()
    expect(page.locator("dialog .failure"), re.compile("no JSON"))
    add_weather(page)
    exchange = ask(page, "weather in Lima")
    exchange.get_by_role("textbox", name="result of find_weather").fill("rain")
    page.keyboard.press("Enter")
    assert answer(exchange) == "In Lima it is 9 C and foggy (rain)."
    expect(exchange.locator(".turn.tool"), count=1)


def test_of_two_calls_that_wait_for_their_results_one_at_a_time_goes_on(page, pace):
    page.click("#open-tools")
    add_weather(page)
    both, fields = [], []
    for question, said in (("weather first", "rain"), ("weather second", "snow")):
        ask(page, question)
        both.append(page.get_by_role("article", name=f"question: {question}"))
        fields.append(ended(both[-1]).get_by_role("textbox", name="result of find_weather"))
        fields[-1].fill(said)
    pace.hold(words=0)
    fields[0].press("Enter")
    button = both[1].get_by_role("button", name="Send result")
    sync_api.expect(button).to_be_disabled()
    fields[1].press("Enter")
    expect(both[1].locator(".turn.tool"), count=0)
    assert page.locator('.exchange[aria-busy="true"]').count() == 1
    pace.hold()
    assert answer(both[0]) == "In Lima it is 9 C and foggy (rain)."
    button.click()
    assert answer(both[1]) == "In Lima it is 9 C and foggy (snow)."


def add_weather(page):
    """Add a tool of one's own to the open panel, and close it."""
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    page.fill("dialog textarea", json.dumps({"name": "find_weather", "description": "Weather.", "parameters": schema}))
    page.get_by_role("button", name="Add tool").click()
    expect(page.locator("dialog .tool-list code", has_text="find_weather").last)
    close_tools(page)


def close_tools(page):
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]"), count=0)


def test_an_mcp_server_is_named_in_the_page(page):
    page.click("#open-tools")
    source = page.get_by_label("command or address of an MCP server")
    source.fill("/nowhere/server")
    source.press("Enter")
    expect(page.get_by_text("cannot be used"))
    source.fill(f"{sys.executable} {SUPPORT / 'mcp_stdio_server.py'}")
    source.press("Enter")
    expect(page.get_by_text("Connected: 6 tools"))
    close_tools(page)
    assert answer(ask(page, "add two and three")) == "Together it is 5."


def test_two_kept_runs_are_compared_side_by_side(page):
    answer(ask(page, "weather first"))
    page.click("#new-chat")
    answer(ask(page, "weather first"))
    page.click("nav a[href='#runs']")
    page.locator(".pick input").nth(0).check()
    page.locator(".pick input").nth(1).check()
    page.get_by_role("button", name="Compare two").click()
    expect(page.locator(".whole"), count=2)
    expect(page.locator(".turn.same"), count=12)
    left, right = (page.locator(".whole").nth(at).bounding_box() for at in (0, 1))
    assert left["y"] == right["y"]
    assert right["x"] > left["x"] + left["width"] - 1


def test_a_key_is_asked_for_and_kept_in_the_tab_alone(browser):
    with serving(Echo(), key="right") as served, opened(browser, served.root) as page:
        page.get_by_label("key", exact=True).fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_text("not accepted"))
        page.get_by_label("key", exact=True).fill("right")
        page.keyboard.press("Enter")
        assert "hello" in answer(ask(page, "hello"))
        assert page.evaluate("[sessionStorage.getItem('umi-key'), localStorage.length, document.cookie]") == [
            "right",
            0,
            "",
        ]

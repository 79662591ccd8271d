"""The web page of `umi serve` in headless Chromium: what people see and do, and what the page never does."""

import json
import shutil
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.agent_server import serving
from support.coded_agents import Echo
from support.typing_agent import FORMAT, HOSTILE, TOOLS, typing_agent

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")]
SUPPORT = Path(__file__).parents[1] / "support"
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 860}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(typing_agent(0.004), {"tools": TOOLS}, form=FORMAT, allow_mcp=True,
                 keep=tmp_path_factory.mktemp("kept")) as found:  # fmt: skip
        yield found


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@contextmanager
def opened(browser, root, size=DESK, path="/"):
    """A page that asked no other host, and had neither an error nor a violation of its policy."""
    with browser.new_context(viewport=size, color_scheme="dark" if size is PHONE else "light") as context:
        page = context.new_page()
        page.set_default_timeout(90_000)  # on a machine that others use, too
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


def answer(exchange):
    exchange.page.locator("#send").wait_for()
    return exchange.locator(".answer").inner_text().strip()


def test_a_question_is_answered_while_its_steps_are_seen(page):
    seen = watch(page, "document.querySelector('.live p')?.textContent")
    exchange = ask(page, "weather, slowly")
    assert answer(exchange).startswith("In Lima it is 9 C and foggy")
    assert len(seen()) > 1, "a plan is seen while it is written"
    assert not exchange.locator(".turn").first.is_visible(), "the steps fold when the answer is there"
    exchange.locator(".steps > summary").click()
    assert exchange.locator(".who").all_inner_texts() == ["planner", "caller", "tool", "planner", "summarizer"]
    second = ask(page, "weather again")
    answer(second)
    sent = [row["turns"] for row in kept(page)][-1]
    assert [turn["text"] for turn in sent if turn["turn"] == "user"] == ["weather, slowly", "weather again"]


def watch(page, value):
    """Note every value of an expression while the page changes; the function returns them."""
    page.evaluate(f"""window.seen = new Set(); new MutationObserver(() => window.seen.add({value}))
        .observe(document.body, {{subtree: true, childList: true}})""")
    return lambda: page.evaluate("[...window.seen].filter(Boolean)")


def kept(page):
    """The runs that the server keeps, whole."""
    fetch = "async (path) => (await fetch(path)).json()"
    ids = [run["id"] for run in page.evaluate(fetch, "/runs")["data"]]
    return [page.evaluate(fetch, f"/runs/{number}") for number in reversed(ids)]


def test_a_tree_grows_and_a_step_of_it_is_retried(page):
    page.locator("#strategy option").first.wait_for(state="attached")
    page.select_option("#strategy", "dfsdt")
    sizes = watch(page, "document.querySelectorAll('.tree .wide g').length")
    exchange = ask(page, "travel slowly to Geneva")
    assert "train" in answer(exchange)
    assert {4, 5, 6} <= set(sizes()), "the tree is seen while it grows"
    assert exchange.locator("g[data-node]").count() == 6
    assert exchange.locator("circle.gave_up").count() >= 1
    exchange.locator('g[data-node="2"]').click()
    assert "leads nowhere" in exchange.locator(".turns").inner_text()
    assert "train" in answer(exchange), "the answer stays when another branch is looked at"
    exchange.locator('g[data-node="4"]').press("Enter")
    exchange.get_by_role("button", name="Retry this step").click()
    assert "train" in answer(exchange)
    assert exchange.locator("g[data-node]").count() == 8, "the new branch joins the tree"
    root = [run for run in kept(page) if run["task"]["query"] == "travel slowly to Geneva"][-1]["nodes"][0]
    assert [turn["turn"] for turn in root["turns"]] == ["user", "plan", "call", "observation"]


@pytest.mark.parametrize(
    ("button", "said"), [("Approve", "The note is erased."), ("Refuse", "I left the note as it is.")]
)
def test_a_call_that_asks_is_approved_or_refused(page, button, said):
    exchange = ask(page, "erase my note")
    card = exchange.get_by_role("group", name="approval of erase_note")
    assert "shopping" in card.inner_text()
    card.get_by_role("button", name=button).press("Enter")
    assert answer(exchange) == said
    assert exchange.locator(".approval").count() == 0


def test_a_reply_is_stopped_and_the_server_stops_too(page, served):
    exchange = ask(page, "endless")
    exchange.locator(".live").wait_for()
    page.keyboard.press("Escape")
    assert answer(exchange) == "Stopped."
    until = time.monotonic() + 10
    while served.routes.in_progress:
        assert time.monotonic() < until
        time.sleep(0.02)
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
        page.locator(".whole").wait_for()
        assert page.locator(".whole .tool pre").inner_text() == HOSTILE
        assert page.locator("main img").count() == 0


def test_a_tool_of_ones_own_is_answered_by_hand(page):
    page.click("#open-tools")
    assert page.get_by_text("asks first").count() == 1
    page.fill("dialog textarea", "{broken")
    page.get_by_role("button", name="Add tool").click()
    assert "no JSON" in page.locator("dialog .failure").inner_text()
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    page.fill("dialog textarea", json.dumps({"name": "find_weather", "description": "Weather.", "parameters": schema}))
    page.get_by_role("button", name="Add tool").click()
    page.keyboard.press("Escape")
    exchange = ask(page, "weather in Lima")
    exchange.get_by_role("textbox", name="result of find_weather").fill("rain")
    page.keyboard.press("Enter")
    assert exchange.locator(".text").inner_text() == "In Lima it is 9 C and foggy (rain)."
    assert exchange.locator(".turn.tool").count() == 1


def test_an_mcp_server_is_named_in_the_page(page):
    page.click("#open-tools")
    source = page.get_by_label("command or address of an MCP server")
    source.fill("/nowhere/server")
    source.press("Enter")
    page.get_by_text("cannot be used").wait_for()
    source.fill(f"{sys.executable} {SUPPORT / 'mcp_stdio_server.py'}")
    source.press("Enter")
    page.get_by_text("Connected: 6 tools").wait_for()
    page.keyboard.press("Escape")
    assert answer(ask(page, "add two and three")) == "Together it is 5."


def test_two_kept_runs_are_compared_side_by_side(page):
    answer(ask(page, "weather first"))
    page.click("#new-chat")
    answer(ask(page, "weather first"))
    page.click("nav a[href='#runs']")
    page.locator(".pick input").nth(0).check()
    page.locator(".pick input").nth(1).check()
    page.get_by_role("button", name="Compare two").click()
    page.locator(".two").wait_for()
    left, right = (page.locator(".whole").nth(at).bounding_box() for at in (0, 1))
    assert left["y"] == right["y"]
    assert right["x"] > left["x"] + left["width"] - 1
    assert page.locator(".turn.same").count() == 12, "what they share is marked"


def test_a_key_is_asked_for_and_kept_in_the_tab_alone(browser):
    with serving(Echo(), key="right") as served, opened(browser, served.root) as page:
        page.get_by_label("key", exact=True).fill("wrong")
        page.keyboard.press("Enter")
        page.get_by_text("not accepted").wait_for()
        page.get_by_label("key", exact=True).fill("right")
        page.keyboard.press("Enter")
        assert "hello" in answer(ask(page, "hello"))
        assert page.evaluate("[sessionStorage.getItem('umi-key'), localStorage.length, document.cookie]") == [
            "right",
            0,
            "",
        ]

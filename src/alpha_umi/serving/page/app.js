// The page: one conversation, the views and the keyboard.

import { ApiFailure, getJson, onKeyNeeded } from "./api.js";
import { byId, h } from "./dom.js";
import { Exchange } from "./exchange.js";
import { Panel } from "./panel.js";
import { Runs } from "./runs.js";

const WORDS = { "": "the server's own", chain: "one chain", dfsdt: "tree (DFSDT)", dfs: "tree, ranked (DFS)" };
const EXAMPLES = ["What is the weather in Lima?", "Convert 20 USD to EUR.", "What is the weather in Oslo, and what time is it there?"];
const exchanges = [];
let agent, panel, runs, finished = [];

// --- the conversation -------------------------------------------------------------------------------------

const running = () => exchanges.find((exchange) => exchange.running);

function atBottom() {
  const root = document.documentElement;
  return root.scrollHeight - root.scrollTop - root.clientHeight < 120;
}

let follows = true;
addEventListener("scroll", () => { follows = atBottom(); }, { passive: true });

function changed() {
  const busy = running();
  byId("send").hidden = Boolean(busy);
  byId("stop").hidden = !busy;
  for (const button of byId("exchanges").querySelectorAll(".starts")) button.disabled = Boolean(busy);
  byId("welcome").hidden = exchanges.length > 0;
  if (follows && busy) scrollTo({ top: document.documentElement.scrollHeight });
}

/** Bring the answer of an ended reply into view, for those who followed it. */
function showAnswer(exchange) {
  if (follows && exchange.element.getBoundingClientRect().top < 0) exchange.element.scrollIntoView({ block: "start" });
}

function ask(question) {
  const text = question.trim();
  if (!text || running() || !panel) return;
  location.hash = "#chat";
  const before = exchanges.length ? exchanges.at(-1).turns() : [];
  const exchange = new Exchange(text, before, { strategy: byId("strategy").value || null, ...panel.options }, { isBusy: running, onChange: changed, onEnd: showAnswer });
  exchanges.push(exchange);
  finished.push(exchange);
  byId("exchanges").append(exchange.element);
  byId("question").value = "";
  fit();
  follows = true;
  exchange.run();
}

function stop() {
  running()?.running.abort();
}

// --- the keyboard -----------------------------------------------------------------------------------------

function fit() {
  const field = byId("question");
  field.rows = Math.min(8, Math.max(1, field.value.split("\n").length));
}

byId("composer").addEventListener("submit", (event) => { event.preventDefault(); ask(byId("question").value); });
byId("question").addEventListener("input", fit);
byId("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); ask(byId("question").value); }
});
byId("stop").addEventListener("click", stop);
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !document.querySelector("dialog[open]")) stop();
});
byId("new-chat").addEventListener("click", () => {
  stop();
  exchanges.length = 0;
  byId("exchanges").replaceChildren();
  changed();
  byId("question").focus();
});
byId("open-tools").addEventListener("click", () => panel.open());

// --- colours ----------------------------------------------------------------------------------------------

const theme = localStorage.getItem("umi-theme");
if (["light", "dark"].includes(theme)) byId(theme).checked = true;
for (const name of ["auto", "light", "dark"]) byId(name).addEventListener("change", () => localStorage.setItem("umi-theme", name));

// --- views ------------------------------------------------------------------------------------------------

function show() {
  const [view, ...ids] = location.hash.slice(1).split("/").map(decodeURIComponent);
  const isRuns = view === "runs";
  byId("runs").hidden = !isRuns;
  byId("chat").hidden = byId("composer").hidden = isRuns;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === (isRuns ? "#runs" : "#chat")) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (isRuns && runs) runs.show(ids);
}
addEventListener("hashchange", show);

function askForKey(wrong) {
  const dialog = byId("key");
  const field = h("input", { type: "password", "aria-label": "key", autocomplete: "off", required: true });
  dialog.replaceChildren(h("form", { method: "dialog" }, h("h2", { id: "key-title" }, "A key is needed"),
    h("p", { class: "note" }, wrong ? "That key was not accepted." : "This server answers to those who have its key. It is kept in this tab alone."),
    field, h("div", { class: "row" }, h("button", { class: "primary", value: "ok" }, "Use it"))));
  dialog.returnValue = "";
  dialog.showModal();
  field.focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "ok" && field.value ? field.value : null), { once: true });
  });
}
onKeyNeeded(askForKey);

async function start() {
  show();
  try {
    agent = await getJson("/agent");
  } catch (error) {
    const said = error instanceof ApiFailure ? error.message : "The page could not start.";
    byId("examples").replaceChildren(h("p", { class: "failure", role: "alert" }, said),
      h("button", { type: "button", class: "quiet", onclick: start }, "Try again"));
    return;
  }
  byId("agent").textContent = agent.name;
  document.title = `${agent.name} · alpha-umi`;
  const strategies = agent.strategy === null ? ["", ...agent.strategies] : agent.strategies;
  byId("strategy").replaceChildren(...strategies.map((name) => h("option", { value: name, selected: name === (agent.strategy || "") }, WORDS[name])));
  panel = new Panel(byId("tools"), agent);
  byId("open-tools").disabled = false;
  runs = new Runs(byId("runs"), agent.keeps, () => finished.filter((each) => each.stop !== null).map((each, number) => each.asRun(number)));
  byId("examples").replaceChildren(...(agent.tools_by_query ? EXAMPLES : []).map((text) =>
    h("button", { type: "button", class: "example", onclick: () => ask(text) }, text)));
  show();
  byId("question").focus();
}

start();

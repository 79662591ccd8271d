// One question and its reply: the answer, the steps folded under it, the tree of all that was tried, and what waits for the user.

import { postJson, runEvents } from "./api.js";
import { h, plural } from "./dom.js";
import { bestLeaf, branches, drawKey, drawTree, label, path } from "./tree.js";
import { STOPS, badge, indented, liveRow, toolsList, turnRow } from "./turns.js";

const RETRY_TEMPERATURE = 0.9;

/** Turns of whole steps: nothing behind the last observation or text of the user or the summarizer. */
export function wholeSteps(turns) {
  const last = turns.findLastIndex((turn) => turn.turn === "observation" || turn.turn === "answer" || turn.turn === "user");
  return turns.slice(0, last + 1);
}

export class Exchange {
  /** `before`: turns of the conversation so far; `options`: strategy, tools, temperature and limits of requests. */
  constructor(question, before, options, { isBusy, onChange, onEnd }) {
    this.question = question;
    this.before = before;
    this.options = options;
    this.isBusy = isBusy; // true while any reply of the page is written: one at a time
    this.onChange = onChange;
    this.onEnd = () => onEnd(this);
    this.nodes = [{ parent: null, turns: [{ turn: "user", text: question }], status: "done" }];
    this.shown = 0; // leaf of the branch in the list
    this.best = 0; // leaf of the branch that is the reply
    this.tools = [];
    this.usage = { completions: 0, prompt_tokens: 0, completion_tokens: 0 };
    this.seconds = 0;
    this.stop = null;
    this.failure = "";
    this.running = null;
    this.thought = "";
    this.answer = "";
    this.rows = 0;
    this.build();
  }

  // --- elements -----------------------------------------------------------------------------------------

  build() {
    this.answerBox = h("div", { class: "answer", "aria-live": "polite" });
    this.approvalBox = h("div", { class: "waits" });
    this.resultBox = h("div", { class: "waits" });
    this.summary = h("summary", {});
    this.list = h("ol", { class: "turns" });
    this.treeBox = h("figure", { class: "tree" });
    this.pickBox = h("div", { class: "picked", "aria-live": "polite" });
    this.toolsBox = h("div", {});
    this.steps = h("details", { class: "steps" }, this.summary,
      h("div", { class: "inside" }, this.list, this.treeBox, this.pickBox, this.toolsBox));
    this.summary.addEventListener("click", () => { this.folded = true; });
    this.element = h("article", { class: "exchange", "aria-label": `question: ${this.question.slice(0, 80)}` },
      h("p", { class: "question" }, this.question),
      h("div", { class: "reply" }, this.answerBox, this.approvalBox, this.resultBox, this.steps));
  }

  /** Draw at the next frame, however much has changed until then. */
  changed() {
    if (this.drawing) return;
    this.drawing = true;
    requestAnimationFrame(() => {
      this.drawing = false;
      this.draw();
      this.element.setAttribute("aria-busy", String(Boolean(this.running)));
      this.onChange();
    });
  }

  draw() {
    this.drawAnswer();
    const turns = this.branch(this.running ? this.shown : this.best);
    this.summary.replaceChildren(this.running ? h("span", { class: "pulse" }) : badge(this.stop || "unfinished"), h("span", { class: "words" }, this.words(turns)));
    const rows = [];
    for (const index of path(this.nodes, this.shown).slice(1)) {
      const { turns: step } = this.nodes[index];
      step.forEach((turn, at) => rows.push(turnRow(turn, at === 0 && !this.running ? this.retryButton(index) : null)));
    }
    if (this.running && this.thought) rows.push(liveRow(this.thought));
    rows.slice(this.rows).forEach((row) => row.classList.add("new"));
    this.rows = rows.length;
    this.list.replaceChildren(...rows);
    this.drawTree();
    if (!this.toolsBox.childElementCount && this.tools.length) this.toolsBox.replaceChildren(toolsList(this.tools));
  }

  drawAnswer() {
    const answered = this.branch(this.best).findLast((turn) => turn.turn === "answer");
    const text = answered ? answered.text : this.running ? this.answer : "";
    const state = this.failure || (this.running ? this.phase() : text ? "" : this.ending());
    const parts = [];
    if (text) parts.push(h("p", { class: "text" }, text));
    if (state && !(this.running && text)) parts.push(h("p", { class: this.failure ? "failure" : "state" }, state));
    if (this.failure) parts.push(h("p", {}, h("button", { type: "button", class: "quiet starts", onclick: () => this.isBusy() || this.run(this.lastWhole()) }, "Try again")));
    this.answerBox.replaceChildren(...parts);
  }

  phase() {
    if (this.approvalBox.childElementCount) return "Waiting for your approval…";
    const last = this.nodes[this.shown].turns.at(-1);
    if (this.thought || !last || this.nodes[this.shown].status !== "open") return "Planning…";
    if (last.turn === "call") return `Running ${last.name}…`;
    if (last.turn === "plan") return last.decision === "conclude" ? "Writing the answer…" : "Writing the call…";
    return "Working…";
  }

  ending() {
    if (this.resultBox.childElementCount) return "";
    const plan = this.branch(this.best).findLast((turn) => turn.turn === "plan");
    if (this.stop === "gave_up") return plan && plan.thought.trim() ? `The agent gave up: ${plan.thought.trim()}` : "The agent gave up.";
    return { limit: "The budget is spent; there is no answer.", cancelled: "Stopped." }[this.stop] || "There is no answer.";
  }

  words(turns) {
    const calls = this.nodes.slice(1).flatMap((node) => node.turns).filter((turn) => turn.turn === "call").length;
    const steps = turns.filter((turn) => turn.turn === "plan").length;
    const tokens = this.usage.prompt_tokens + this.usage.completion_tokens;
    const words = [plural(steps, "step"), plural(calls, "call")];
    if (this.nodes.length > steps + 1) words.push(plural(this.nodes.length - 1, "node"));
    if (!this.running && tokens) words.push(plural(tokens, "token"), `${this.seconds.toFixed(1)}\u00a0s`);
    return words.join(" · ");
  }

  drawTree() {
    const shows = branches(this.nodes) || (this.options.strategy !== "chain" && this.nodes.length > 2);
    this.treeBox.hidden = !shows;
    if (!shows) return;
    const focused = document.activeElement && document.activeElement.getAttribute("data-node");
    const wide = h("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "search tree" },
      drawTree(this.nodes, this.shown, this.running ? null : (index) => this.pick(index)));
    const left = this.treeBox.querySelector(".wide")?.scrollLeft || 0;
    this.treeBox.replaceChildren(
      h("figcaption", {}, this.running ? "The search tree, as it grows." : "All that was tried. Pick a node to see its branch."),
      wide, drawKey(this.nodes));
    wide.scrollLeft = this.running ? wide.scrollWidth : this.wasRunning ? 0 : left;
    this.wasRunning = Boolean(this.running);
    if (focused !== null && focused !== undefined) wide.querySelector(`[data-node="${focused}"]`)?.focus();
  }

  pick(index) {
    this.shown = index;
    this.draw();
    this.pickBox.replaceChildren(...[
      h("span", {}, index === 0 ? "The question" : `Step ${path(this.nodes, index).length - 1}: `, index === 0 ? "" : h("b", {}, label(this.nodes[index]))),
      index === 0
        ? h("button", { type: "button", class: "quiet starts", onclick: () => this.retryFrom(0) }, "Answer again")
        : [this.retryButton(index, true), this.nodes[index].status === "done"
          ? h("button", { type: "button", class: "quiet starts", onclick: () => this.retryFrom(index) }, "Go on from here") : null],
    ].flat().filter(Boolean));
    this.onChange();
  }

  retryButton(index, words = false) {
    return h("button", { type: "button", class: words ? "quiet starts" : "again starts", "aria-label": words ? null : `retry step ${path(this.nodes, index).length - 1}`,
      title: "Try this step again", onclick: () => this.retryFrom(this.nodes[index].parent) }, words ? "Retry this step" : "retry");
  }

  // --- turns --------------------------------------------------------------------------------------------

  branch(index) {
    return path(this.nodes, index).flatMap((at) => this.nodes[at].turns);
  }

  /** Turns for the next question. */
  turns() {
    return [...this.before, ...wholeSteps(this.branch(this.best))];
  }

  /** The last node of the shown branch whose step is whole. */
  lastWhole() {
    return path(this.nodes, this.shown).findLast((index) => index === 0 || this.nodes[index].status === "done");
  }

  // --- runs ---------------------------------------------------------------------------------------------

  retryFrom(index) {
    if (!this.isBusy()) this.run(index, { temperature: this.options.temperature ?? RETRY_TEMPERATURE, seed: Math.floor(Math.random() * 2 ** 31) });
  }

  /** Go on from a node until there is an answer, or something is needed of the user. */
  async run(from = 0, changes = {}) {
    const started = performance.now();
    this.running = new AbortController();
    Object.assign(this, { failure: "", stop: null, thought: "", answer: "", shown: from, best: from });
    this.resultBox.replaceChildren();
    this.pickBox.replaceChildren();
    this.steps.open = true;
    const numbers = new Map([[0, from]]);
    const first = this.nodes.length;
    const body = { ...this.options, ...changes, turns: [...this.before, ...this.branch(from)] };
    this.element.setAttribute("aria-busy", "true");
    this.onChange(); // at once: what may be done now is another thing than before
    this.changed();
    try {
      for await (const event of runEvents(body, this.running.signal)) this.take(event, numbers);
      if (this.stop === null) throw new Error("The stream ended before the answer.");
      if (this.nodes.length > first) this.shown = bestLeaf(this.nodes, first);
    } catch (error) {
      if (error.name === "AbortError") this.stop = "cancelled";
      else Object.assign(this, { failure: error.message, stop: "unfinished" });
    }
    this.running = null;
    this.best = this.shown;
    this.thought = "";
    this.seconds += (performance.now() - started) / 1000;
    clearInterval(this.clock);
    this.approvalBox.replaceChildren();
    this.askForResult();
    if (this.stop === "answered" && !branches(this.nodes) && !this.folded && !this.steps.contains(document.activeElement)) this.steps.open = false;
    this.changed();
    requestAnimationFrame(() => this.onEnd());
  }

  take(event, numbers) {
    switch (event.type) {
      case "run.started":
        this.tools = event.tools;
        break;
      case "run.thought":
        this.thought = event.starts ? event.text : this.thought + event.text;
        break;
      case "run.answer":
        this.answer += event.text;
        break;
      case "run.node":
        this.grow(event.node, numbers);
        break;
      case "run.approval":
        this.askApproval(event);
        break;
      case "run.ended":
        this.stop = event.stop;
        for (const name of Object.keys(this.usage)) this.usage[name] += event.usage[name] || 0;
        break;
      case "error":
        throw new Error(event.message);
    }
    this.changed();
  }

  grow(node, numbers) {
    if (!numbers.has(node.index)) numbers.set(node.index, this.nodes.length);
    const at = numbers.get(node.index);
    this.nodes[at] = { parent: numbers.get(node.parent), turns: node.turns, status: node.status };
    this.shown = at;
    this.thought = "";
    if (node.turns.at(-1)?.turn === "plan") this.answer = "";
    clearInterval(this.clock);
    this.approvalBox.replaceChildren();
  }

  // --- what waits for the user --------------------------------------------------------------------------

  askApproval({ id, call, seconds }) {
    const until = performance.now() + seconds * 1000;
    const left = h("span", { class: "left" });
    const decide = async (approve) => {
      for (const button of card.querySelectorAll("button")) button.disabled = true;
      try {
        await postJson(`/runs/approvals/${encodeURIComponent(id)}`, { approve });
        this.approvalBox.replaceChildren();
      } catch (error) {
        left.textContent = error.message;
      }
      clearInterval(this.clock);
      this.changed();
    };
    const card = h("section", { class: "approval", tabindex: -1, role: "group", "aria-label": `approval of ${call.name}` },
      h("h3", {}, "May this call be run?"),
      h("pre", {}, h("b", {}, call.name), " ", indented(call.arguments)),
      h("div", { class: "row" },
        h("button", { type: "button", class: "primary approve", onclick: () => decide(true) }, "Approve"),
        h("button", { type: "button", class: "quiet refuse", onclick: () => decide(false) }, "Refuse"), left));
    const tick = () => {
      const s = Math.max(0, Math.round((until - performance.now()) / 1000));
      left.textContent = `refused in ${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")} without a decision`;
    };
    tick();
    clearInterval(this.clock);
    this.clock = setInterval(tick, 1000);
    this.approvalBox.replaceChildren(card);
    card.focus({ preventScroll: true });
    requestAnimationFrame(() => card.scrollIntoView({ block: "nearest" }));
  }

  /** Ask for the result of a call of the user's own tool. */
  askForResult() {
    const node = this.nodes[this.shown];
    const call = node.turns.at(-1);
    if (this.stop !== "unfinished" || this.failure || !call || call.turn !== "call") return;
    const field = h("textarea", { rows: 3, "aria-label": `result of ${call.name}`, placeholder: "What the tool answers, as text or JSON" });
    const send = (status) => {
      if (this.isBusy()) return;
      node.turns = [...node.turns, { turn: "observation", content: field.value, status }];
      node.status = "done";
      this.run(this.shown);
    };
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); send("ok"); }
    });
    this.resultBox.replaceChildren(h("section", { class: "approval", "aria-label": `result of ${call.name}` },
      h("h3", {}, "Your tool is called. What does it answer?"),
      h("pre", {}, h("b", {}, call.name), " ", indented(call.arguments)),
      field,
      h("div", { class: "row" },
        h("button", { type: "button", class: "primary starts", onclick: () => send("ok") }, "Send result"),
        h("button", { type: "button", class: "quiet starts", onclick: () => send("error") }, "Send as an error"))));
    field.focus();
  }

  /** The exchange as a run of the list of runs. */
  asRun(id) {
    return {
      id, set: "this page", task: { query: this.question, tools: this.tools }, turns: this.branch(this.best), stop: this.stop || "unfinished",
      nodes: this.nodes.map((node, index) => ({ index, ...node })), usage: this.usage, seconds: this.seconds, method: this.options.strategy,
    };
  }
}

export { STOPS };

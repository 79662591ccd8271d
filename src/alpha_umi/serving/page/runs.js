// Runs in the server's folder (else those of this page): a list, one run whole, or two side by side.

import { getJson } from "./api.js";
import { h, plural } from "./dom.js";
import { bestLeaf, branches, drawKey, drawTree } from "./tree.js";
import { badge, toolsList, turnRow } from "./turns.js";

const countCalls = (nodes) => nodes.slice(1).flatMap((node) => node.turns).filter((turn) => turn.turn === "call").length;
const tokens = (usage) => usage.prompt_tokens + usage.completion_tokens;

export class Runs {
  /** `own`: function of this page's runs, for a server that keeps none. */
  constructor(box, keeps, own) {
    Object.assign(this, { box, keeps, own, chosen: [] });
  }

  async list() {
    if (this.keeps) return (await getJson("/runs")).data;
    return this.own().map((run) => ({ ...run, query: run.task.query, calls: countCalls(run.nodes) })).reverse();
  }

  async find(id) {
    const found = this.keeps ? await getJson(`/runs/${encodeURIComponent(id)}`) : this.own().find((run) => String(run.id) === String(id));
    if (!found) throw new Error("There is no such run here.");
    return found;
  }

  /** Show what an address names: #runs, #runs/3 or #runs/3/5. */
  async show(ids) {
    this.box.replaceChildren(h("p", { class: "lead" }, "Reading…"));
    try {
      this.box.replaceChildren(...(ids.length ? await this.side(ids.slice(0, 2)) : await this.overview()));
    } catch (error) {
      this.box.replaceChildren(h("p", { class: "failure" }, error.message));
    }
  }

  async overview() {
    const found = await this.list();
    const where = this.keeps ? "Every whole reply of this server, the newest first." : "The replies of this page, the newest first. Started with --keep DIR, the server keeps them in a folder.";
    const button = h("button", { type: "button", class: "primary", disabled: true, onclick: () => { location.hash = `#runs/${this.chosen.join("/")}`; } }, "Compare two");
    this.chosen = [];
    const rows = found.map((run) => {
      const box = h("input", { type: "checkbox", "aria-label": `choose run ${run.id}: ${run.query.slice(0, 80)}` });
      box.addEventListener("change", () => {
        this.chosen = box.checked ? [...this.chosen, run.id] : this.chosen.filter((id) => id !== run.id);
        button.disabled = this.chosen.length !== 2;
      });
      return h("li", { class: "run" }, h("label", { class: "pick" }, box), badge(run.stop, run.passed),
        h("a", { href: `#runs/${run.id}`, class: "query" }, run.query),
        h("span", { class: "cost" }, [plural(run.calls, "call"), plural(tokens(run.usage), "token"), `${run.seconds.toFixed(1)}\u00a0s`].join(" · ")));
    });
    return [
      h("div", { class: "heading" }, h("h2", {}, "Runs"), button),
      h("p", { class: "note" }, where),
      rows.length ? h("ul", { class: "run-list" }, rows) : h("p", { class: "state" }, "There is none yet."),
    ];
  }

  async side(ids) {
    const runs = await Promise.all(ids.map((id) => this.find(id)));
    const alike = runs.length === 2 ? commonTurns(runs[0].turns, runs[1].turns) : 0;
    const back = h("a", { href: "#runs", class: "back" }, "← all runs");
    return [
      h("div", { class: "heading" }, h("h2", {}, runs.length === 2 ? "Two runs" : "Run"), back),
      runs.length === 2 ? h("p", { class: "note" }, alike ? `The first ${plural(alike, "turn")} are the same in both.` : "They differ from the first turn on.") : null,
      h("div", { class: runs.length === 2 ? "two" : "" }, runs.map((run) => column(run, alike))),
    ].filter(Boolean);
  }
}

function commonTurns(first, second) {
  const same = (at) => JSON.stringify(first[at]) === JSON.stringify(second[at]);
  let at = 0;
  while (at < Math.min(first.length, second.length) && same(at)) at += 1;
  return at;
}

function column(run, alike) {
  const rows = run.turns.map((turn, at) => {
    const row = turnRow(turn);
    if (at < alike) row.classList.add("same");
    return row;
  });
  const numbers = [["calls", countCalls(run.nodes)], ["nodes", run.nodes.length - 1], ["completions", run.usage.completions], ["tokens", tokens(run.usage)]];
  const tree = branches(run.nodes)
    ? h("figure", { class: "tree" }, h("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "search tree" }, drawTree(run.nodes, bestLeaf(run.nodes))), drawKey(run.nodes))
    : null;
  return h("section", { class: "card whole", "aria-label": `run ${run.id}` },
    h("h3", {}, badge(run.stop, run.verdict ? run.verdict.passed : undefined), " ", run.task.query),
    h("dl", { class: "numbers" }, [...numbers.map(([name, value]) => [name, value.toLocaleString("en")]), ["seconds", run.seconds.toFixed(1)], ...(run.method === "served" ? [] : [["search", run.method]])]
      .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    run.error ? h("p", { class: "why" }, run.error) : null,
    h("ol", { class: "turns" }, rows), tree, toolsList(run.task.tools));
}

// Turns as the rows of a list, in the colours of their roles; the same shapes as in reports.

import { h } from "./dom.js";

const NEXT = { call: "caller", conclude: "summarizer", give_up: "gives up", none: "no decision" };
export const STOPS = {
  answered: "answered", gave_up: "gave up", limit: "out of budget", cancelled: "stopped", unfinished: "unfinished",
};

function row(kind, who, ...body) {
  return h("li", { class: `turn ${kind}` }, h("span", { class: "who" }, who), ...body);
}

/** JSON that is too long for a line, over several. */
export function indented(text) {
  if (text.length <= 100) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** The row of a turn. `more`: elements at its end. */
export function turnRow(turn, ...more) {
  switch (turn.turn) {
    case "user":
      return row("user", "user", h("p", {}, turn.text), ...more);
    case "review":
      return row("user", "critic", h("p", {}, turn.text), ...more);
    case "plan": {
      const stops = turn.decision === "give_up" ? " stop" : "";
      const next = h("span", { class: `next${stops}` }, `→ ${NEXT[turn.decision] || turn.decision}`);
      return row("planner", "planner", h("p", {}, turn.thought.trim(), " ", next, ...more));
    }
    case "call":
      return row("caller", "caller", h("pre", {}, h("b", {}, turn.name || "no tool"), " ", turn.arguments), ...more);
    case "observation":
      if (turn.status === "ok") return row("tool", "tool", h("pre", {}, indented(turn.content)), ...more);
      return row("tool failed", "tool",
        h("pre", {}, h("span", { class: "status" }, turn.status.replaceAll("_", " ")), " ", turn.content), ...more);
    default:
      return row("summarizer", "summarizer", h("p", {}, turn.text), ...more);
  }
}

/** The row of a thought that is being written. */
export function liveRow(text) {
  return row("planner live", "planner", h("p", {}, text));
}

export const badge = (stop, passed) => {
  if (typeof passed === "boolean") return h("span", { class: `badge ${passed ? "right" : "wrong"}` }, passed ? "right" : "wrong");
  const kind = stop === "answered" ? "right" : stop === "gave_up" ? "wrong" : "open";
  return h("span", { class: `badge ${kind}` }, STOPS[stop] || stop);
};

/** The offered tools, folded. */
export function toolsList(tools) {
  const word = `${tools.length} tool${tools.length === 1 ? "" : "s"} offered`;
  return h("details", { class: "tools" }, h("summary", {}, word),
    h("ul", {}, tools.map((tool) => h("li", {}, h("code", {}, tool.name), " ", h("span", {}, tool.description || "")))));
}

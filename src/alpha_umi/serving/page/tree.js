// A search tree as SVG: depth to the right, every branch on a row of its own; the same drawing as in reports.

import { h, svg } from "./dom.js";

const COLUMN = 190, ROW = 46, RADIUS = 6, MARGIN = 16, BEND = 44, LETTERS = 23;
const KEY = {
  open: "growing", done: "step", answered: "answer", gave_up: "give up", limit: "budget spent", failed: "the model failed",
};

const short = (text) => {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length <= LETTERS ? line : `${line.slice(0, LETTERS - 1)}…`;
};

export function label(node) {
  if (node.parent === null) return "question";
  const calls = node.turns.filter((turn) => turn.turn === "call");
  if (calls.length) return (calls[0].name || "no tool") + (calls.length > 1 ? ` +${calls.length - 1}` : "");
  const last = node.turns.at(-1);
  if (!last) return "…";
  if (last.turn === "answer") return "answer";
  if (last.turn === "plan") return last.decision === "give_up" ? "give up" : node.status === "open" ? "…" : "undecided";
  return "undecided";
}

function note(node) {
  if (node.status === "limit") return "budget spent";
  if (node.status === "failed") return "the model failed";
  for (const turn of node.turns.toReversed()) {
    if (turn.turn === "observation") return turn.status === "ok" ? turn.content : turn.status.replaceAll("_", " ");
    if (turn.turn === "answer") return turn.text;
  }
  return "";
}

function positions(nodes) {
  const children = nodes.map(() => []);
  const depth = [];
  nodes.forEach((node, index) => {
    depth[index] = node.parent === null ? 0 : depth[node.parent] + 1;
    if (node.parent !== null) children[node.parent].push(index);
  });
  const rows = [];
  let leaf = 0;
  const waiting = [0];
  while (waiting.length) {
    const index = waiting.pop();
    waiting.push(...children[index].toReversed());
    if (!children[index].length) rows[index] = leaf++;
  }
  for (let index = nodes.length - 1; index >= 0; index -= 1) {
    const below = children[index].map((child) => rows[child]);
    if (below.length) rows[index] = below.reduce((sum, each) => sum + each, 0) / below.length;
  }
  return nodes.map((_, index) => [MARGIN + depth[index] * COLUMN, MARGIN + ROW / 2 + rows[index] * ROW]);
}

export function path(nodes, index) {
  const found = [];
  for (let at = index; at !== null; at = nodes[at].parent) found.unshift(at);
  return found;
}

export const branches = (nodes) => new Set(nodes.slice(1).map((node) => node.parent)).size < nodes.length - 1;

/** Leaf of the best branch: the first answer, else the first give-up, else the last node. */
export function bestLeaf(nodes, from = 1) {
  const first = (status) => nodes.findIndex((node, index) => index >= from && node.status === status);
  const found = [first("answered"), first("gave_up")].find((index) => index >= 0);
  return found === undefined ? nodes.length - 1 : found;
}

function edge([left, above], [right, below], best) {
  const middle = right - BEND / 2;
  const d = `M${left} ${above} L${right - BEND} ${above} C${middle} ${above} ${middle} ${below} ${right} ${below}`;
  return svg("path", { d, class: best ? "edge best" : "edge" });
}

/** Draw the tree. `shown`: leaf of the marked branch; `onPick`: called with the index of a node that is picked. */
export function drawTree(nodes, shown, onPick) {
  const places = positions(nodes);
  const marked = new Set(path(nodes, shown));
  const width = Math.max(...places.map(([x]) => x)) + COLUMN;
  const height = Math.max(...places.map(([, y]) => y)) + ROW / 2 + MARGIN;
  const edges = nodes.flatMap((node, index) =>
    node.parent === null ? [] : [edge(places[node.parent], places[index], marked.has(index))]);
  const drawn = nodes.map((node, index) => {
    const [x, y] = places[index];
    const pick = onPick && (() => onPick(index));
    const words = `${KEY[node.status] || node.status}: ${label(node)}`;
    const attributes = onPick
      ? { role: "button", tabindex: 0, "aria-label": words, "data-node": index, onclick: pick, onkeydown: (event) => {
          if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pick(); } } }
      : {};
    return svg("g", { class: [marked.has(index) ? "best" : "", index === shown ? "shown" : ""].join(" ").trim(), ...attributes },
      onPick ? svg("rect", { x: x - 16, y: y - 21, width: COLUMN - 18, height: 42, rx: 10, class: "reach" }) : null,
      svg("circle", { cx: x, cy: y, r: RADIUS, class: node.status }),
      svg("text", { x: x + RADIUS + 4, y: y - 7 }, short(label(node))),
      svg("text", { x: x + RADIUS + 4, y: y + 16, class: "note" }, short(note(node))));
  });
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-label": `search tree of ${nodes.length} nodes`,
    role: onPick ? "group" : "img" }, edges, drawn);
}

export function drawKey(nodes) {
  const found = new Set(nodes.map((node) => node.status));
  return h("p", { class: "key" }, Object.keys(KEY).filter((status) => found.has(status)).map((status) =>
    h("span", {}, svg("svg", { width: 12, height: 12, "aria-hidden": "true" }, svg("circle", { cx: 6, cy: 6, r: 5, class: status })),
      ` ${KEY[status]}`)));
}

// The panel of tools and settings: the server's tools, or tools of the user, who then types their results.

import { postJson } from "./api.js";
import { h } from "./dom.js";

const STORED = "umi-tools";

/** Tools in a JSON text: one or a list, each in OpenAI's shape or as name, description and parameters. Throws Error. */
export function readTools(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`This is no JSON: ${error.message}`);
  }
  return (Array.isArray(value) ? value : [value]).map((each, number) => {
    const found = each && typeof each === "object" ? each.function || each : {};
    const where = Array.isArray(value) ? `Tool ${number + 1}` : "The tool";
    if (typeof found.name !== "string" || !found.name) throw new Error(`${where} needs a "name".`);
    const parameters = found.parameters || found.input_schema || found.inputSchema || { type: "object", properties: {} };
    if (typeof parameters !== "object" || Array.isArray(parameters)) throw new Error(`${where}: "parameters" must be a JSON schema.`);
    return { name: found.name, description: String(found.description || ""), parameters };
  });
}

const listed = (tools) => tools.map((tool) => h("li", {}, h("code", {}, tool.name), " ",
  tool.asks ? h("span", { class: "badge open" }, "asks first") : null, h("p", {}, tool.description)));

export class Panel {
  constructor(dialog, agent) {
    this.dialog = dialog;
    this.agent = agent;
    const stored = JSON.parse(sessionStorage.getItem(STORED) || "{}");
    this.tools = stored.tools || [];
    this.whose = stored.whose === "own" || !agent.has_tools ? "own" : "server";
    this.source = null;
    this.build();
  }

  /** Fields of a request that the panel decides. */
  get options() {
    const number = (field) => (field.value === "" ? null : Number(field.value));
    return {
      mcp: this.whose === "mcp" ? this.source : null,
      tools: this.whose === "own" ? this.tools.map((tool) => ({ type: "function", function: tool })) : null,
      temperature: number(this.temperature),
      max_steps: number(this.steps),
    };
  }

  open() {
    this.dialog.showModal();
  }

  store() {
    sessionStorage.setItem(STORED, JSON.stringify({ tools: this.tools, whose: this.whose }));
  }

  build() {
    const choice = (whose, words, disabled) => h("label", { class: "choice" },
      h("input", { type: "radio", name: "whose", value: whose, checked: this.whose === whose, disabled, onchange: () => this.choose(whose) }), ` ${words}`);
    this.temperature = h("input", { type: "number", min: 0, max: 2, step: 0.1, placeholder: "the agent's own", "aria-label": "temperature" });
    this.steps = h("input", { type: "number", min: 1, max: 100, step: 1, placeholder: "the server's own", "aria-label": "most steps" });
    this.field = h("textarea", { rows: 7, spellcheck: "false", "aria-label": "JSON of a tool",
      placeholder: '{"name": "get_weather",\n "description": "Weather of a city.",\n "parameters": {"type": "object",\n   "properties": {"city": {"type": "string"}}}}' });
    this.problem = h("p", { class: "failure", role: "alert" });
    this.list = h("ul", { class: "tool-list" });
    this.dialog.replaceChildren(...[
      h("form", { method: "dialog", class: "heading" }, h("h2", { id: "tools-title" }, "Tools"), h("button", { class: "quiet" }, "Done")),
      choice("server", "Tools of the server, which runs them", !this.agent.has_tools), this.serverTools(),
      this.agent.allows_mcp ? [choice("mcp", "Tools of an MCP server", true), this.mcpServer()] : null,
      choice("own", "My own tools: I type what they answer"), this.list, this.field, this.problem,
      h("button", { type: "button", class: "quiet", onclick: () => this.add() }, "Add tool"),
      h("h3", {}, "Settings"),
      h("div", { class: "settings" }, h("label", {}, "Temperature ", this.temperature), h("label", {}, "Most steps ", this.steps)),
    ].flat(2).filter(Boolean));
    this.drawOwn();
  }

  serverTools() {
    if (!this.agent.has_tools) return h("p", { class: "note" }, "This server was started without tools.");
    if (this.agent.tools_by_query) return h("p", { class: "note" }, "The agent's own world: each question is offered the tools that fit it.");
    return h("ul", { class: "tool-list" }, listed(this.agent.tools));
  }

  mcpServer() {
    const source = h("input", { type: "text", "aria-label": "command or address of an MCP server", placeholder: "python server.py, or http://127.0.0.1:9000/mcp" });
    const list = h("ul", { class: "tool-list" });
    const said = h("p", { class: "note", role: "status" }, "It is started, or connected to, on the server's machine.");
    const connect = async () => {
      if (!source.value.trim()) return;
      said.textContent = "Connecting…";
      try {
        const found = await postJson("/mcp", { source: source.value.trim() });
        list.replaceChildren(...listed(found.tools));
        said.textContent = `Connected: ${found.tools.length} tools.`;
        this.source = found.source;
        this.choose("mcp");
      } catch (error) {
        said.textContent = error.message;
      }
    };
    source.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); connect(); } });
    return [h("div", { class: "row connect" }, source, h("button", { type: "button", class: "quiet", onclick: connect }, "Connect")), said, list];
  }

  choose(whose) {
    this.whose = whose;
    const box = this.dialog.querySelector(`input[value=${whose}]`);
    box.disabled = false;
    box.checked = true;
    this.store();
  }

  drawOwn() {
    this.list.replaceChildren(...this.tools.map((tool, number) => h("li", {}, h("code", {}, tool.name), " ",
      h("button", { type: "button", class: "again shown", "aria-label": `remove ${tool.name}`, onclick: () => { this.tools.splice(number, 1); this.changed(); } }, "remove"),
      h("p", {}, tool.description))));
  }

  add() {
    this.problem.textContent = "";
    try {
      const added = readTools(this.field.value);
      const names = new Set(added.map((tool) => tool.name));
      this.tools = [...this.tools.filter((tool) => !names.has(tool.name)), ...added];
    } catch (error) {
      this.problem.textContent = error.message;
      return;
    }
    this.field.value = "";
    this.choose("own");
    this.changed();
  }

  changed() {
    this.store();
    this.drawOwn();
  }
}

// The panel of tools and settings: the server's tools, or tools of the user, who then types their results.

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

export class Panel {
  constructor(dialog, agent) {
    this.dialog = dialog;
    this.agent = agent;
    const stored = JSON.parse(sessionStorage.getItem(STORED) || "{}");
    this.tools = stored.tools || [];
    this.own = Boolean(stored.own) || !agent.has_tools;
    this.build();
  }

  /** Fields of a request that the panel decides. */
  get options() {
    const number = (field) => (field.value === "" ? null : Number(field.value));
    return {
      tools: this.own ? this.tools.map((tool) => ({ type: "function", function: tool })) : null,
      temperature: number(this.temperature),
      max_steps: number(this.steps),
    };
  }

  open() {
    this.dialog.showModal();
  }

  store() {
    sessionStorage.setItem(STORED, JSON.stringify({ tools: this.tools, own: this.own }));
  }

  build() {
    const choice = (own, words) => h("label", { class: "choice" },
      h("input", { type: "radio", name: "whose", value: own ? "own" : "server", checked: this.own === own, disabled: !own && !this.agent.has_tools,
        onchange: () => { this.own = own; this.store(); } }), ` ${words}`);
    this.temperature = h("input", { type: "number", min: 0, max: 2, step: 0.1, placeholder: "the agent's own", "aria-label": "temperature" });
    this.steps = h("input", { type: "number", min: 1, max: 100, step: 1, placeholder: "the server's own", "aria-label": "most steps" });
    this.field = h("textarea", { rows: 7, spellcheck: "false", "aria-label": "JSON of a tool",
      placeholder: '{"name": "get_weather",\n "description": "Weather of a city.",\n "parameters": {"type": "object",\n   "properties": {"city": {"type": "string"}}}}' });
    this.problem = h("p", { class: "failure", role: "alert" });
    this.list = h("ul", { class: "tool-list" });
    this.dialog.replaceChildren(
      h("form", { method: "dialog", class: "heading" }, h("h2", { id: "tools-title" }, "Tools"), h("button", { class: "quiet" }, "Done")),
      choice(false, "Tools of the server, which runs them"), this.serverTools(),
      choice(true, "My own tools: I type what they answer"), this.list, this.field, this.problem,
      h("button", { type: "button", class: "quiet", onclick: () => this.add() }, "Add tool"),
      h("h3", {}, "Settings"),
      h("div", { class: "settings" }, h("label", {}, "Temperature ", this.temperature), h("label", {}, "Most steps ", this.steps)));
    this.drawOwn();
  }

  serverTools() {
    if (!this.agent.has_tools) return h("p", { class: "note" }, "This server was started without tools.");
    if (this.agent.tools_by_query) return h("p", { class: "note" }, "The agent's own world: each question is offered the tools that fit it.");
    return h("ul", { class: "tool-list" }, this.agent.tools.map((tool) => h("li", {}, h("code", {}, tool.name), " ",
      tool.asks ? h("span", { class: "badge open" }, "asks first") : null, h("p", {}, tool.description))));
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
    this.own = true;
    this.dialog.querySelector("input[value=own]").checked = true;
    this.changed();
  }

  changed() {
    this.store();
    this.drawOwn();
  }
}

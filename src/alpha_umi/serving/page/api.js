// Requests to this server: JSON, and the events of a run. A key is asked for where one is needed, and kept for this tab alone.

const KEY = "umi-key";

export class ApiFailure extends Error {}

function headers() {
  const key = sessionStorage.getItem(KEY);
  return { "Content-Type": "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}) };
}

let askForKey = () => Promise.resolve(null);

/** Set the question for the key; it resolves to the key, or null. */
export function onKeyNeeded(ask) {
  askForKey = ask;
}

async function send(path, options) {
  for (let tries = 0; ; tries += 1) {
    let response;
    try {
      response = await fetch(path, { ...options, headers: headers(), cache: "no-store" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiFailure("The server cannot be reached.");
    }
    if (response.ok) return response;
    const said = await response.json().then((body) => body.error.message, () => `The server answered ${response.status}.`);
    if (response.status !== 401) throw new ApiFailure(said);
    const key = await askForKey(tries > 0);
    if (key === null) throw new ApiFailure(said);
    sessionStorage.setItem(KEY, key);
  }
}

export const getJson = async (path) => (await send(path, {})).json();
export const postJson = async (path, body) => (await send(path, { method: "POST", body: JSON.stringify(body) })).json();

/** The events of a run, as they come. */
export async function* runEvents(body, signal) {
  const response = await send("/runs", { method: "POST", body: JSON.stringify(body), signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const data = block.split("\n").find((line) => line.startsWith("data: "));
      if (data) yield JSON.parse(data.slice(6));
    }
  }
}

"""A finished run against the same agent behind `umi serve`: its tasks are asked again, step by step, as clients do it.

    umi rollout --queries tasks.jsonl --env bfcl --agent umi-smol --out run
    umi serve --agent umi-smol &
    python benchmarks/served_tasks.py run [--url http://127.0.0.1:8000/v1] [--clients 4] [--limit 40]

The client offers a task's tools and gives each call the observation that the run had; a task is equal where all calls
and the answer are those of the run. What differs is printed. Runs of one chain, as chains are what a client sees.
"""

import argparse
import asyncio
import json
from pathlib import Path

from openai import AsyncOpenAI


def tasks_of(run):
    return [json.loads(line) for line in (run / "rollouts.jsonl").read_text().splitlines()]


def steps_of(row):
    """What the run did: calls with their observations, then the text at its end."""
    turns, steps = row["turns"], []
    for at, turn in enumerate(turns):
        if turn["turn"] == "call":
            steps.append((turn["name"], json.loads(turn["arguments"]), turns[at + 1]["content"]))
    last = turns[-1]
    return steps, last["text"] if last["turn"] == "answer" else last.get("thought", "").strip()


async def served_as_well(client, model, row):
    """None where the endpoint does what the run did; else what both did where they part."""
    steps, answer = steps_of(row)
    tools = [{"type": "function", "function": tool} for tool in row["task"]["tools"]]
    messages = [{"role": "user", "content": row["task"]["query"]}]
    for name, arguments, observation in [*steps, (None, None, None)]:
        said = (await client.chat.completions.create(model=model, messages=messages, tools=tools)).choices[0].message
        calls = [(call.function.name, json.loads(call.function.arguments)) for call in said.tool_calls or ()]
        if name is None:
            return None if not calls and (said.content or "").strip() == answer else (answer, calls or said.content)
        if calls != [(name, arguments)]:
            return (name, arguments), calls or said.content
        messages.append(said)
        messages.append({"role": "tool", "tool_call_id": said.tool_calls[0].id, "content": observation})
    return None


async def measure(options):
    client = AsyncOpenAI(base_url=options.url, api_key="none", timeout=600)
    model = (await client.models.list()).data[0].id
    turns = asyncio.Semaphore(options.clients)
    rows = tasks_of(options.run)[: options.limit]

    async def one(row):
        async with turns:
            found = await served_as_well(client, model, row)
        if found is not None:
            print(f"{row['task']['id']}: in process {found[0]!r}, served {found[1]!r}", flush=True)
        return found is None

    equal = sum(await asyncio.gather(*(one(row) for row in rows)))
    print(f"{model}: {equal} of {len(rows)} tasks are equal in process and served, calls and answer")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:8000/v1")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--limit", type=int, help="only the first tasks")
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()

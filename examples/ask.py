"""Ask an agent with Python functions as tools: one query, a conversation, and a search node by node.

    python examples/ask.py [AGENT]

AGENT is a run directory, an agent file, a Hugging Face Hub repository or, by default, the bundled umi-tiny, which is
small and knows few words: read what it does, not what it knows. An endpoint is `umi.load(base_url=..., model=...)`.
"""

import asyncio
import json
import sys
from typing import Literal

import alpha_umi as umi

POPULATION = {"Graz": 305_000, "Linz": 212_000, "Oslo": 717_000}


def population(city: str) -> int:
    """Number of people who live in a city.

    Args:
        city: Name of the city.
    """
    return POPULATION[city]


async def temperature(city: str, unit: Literal["celsius", "fahrenheit"] = "celsius") -> str:
    """Temperature in a city now."""
    await asyncio.sleep(0)  # a request of your own
    return f"{21 if unit == 'celsius' else 70} degrees in {city}"


def ask_once(agent: umi.Agent) -> None:
    """One query: the answer, the calls, and the whole trajectory as JSON."""
    trajectory = agent.ask("How many people live in Graz?", tools=[population, temperature], max_steps=4)
    print("answer:", trajectory.answer)
    print("calls:", [f"{call.name} {call.arguments}" for call in trajectory.calls])
    print("stop:", json.dumps(trajectory.to_json()["stop"]))


def talk(agent: umi.Agent) -> None:
    """A conversation: the second message has the first exchange as context; turns are shown as they come."""
    with agent.chat(tools=[population, temperature], max_steps=3) as chat:
        chat.send("How many people live in Linz?")
        for event in chat.stream("And in Oslo?"):
            if isinstance(event, umi.Plan | umi.Call | umi.Observation | umi.Answer):
                print("turn:", event)
        print("exchanges:", len(chat.exchanges))


async def explore(agent: umi.Agent) -> None:
    """A depth-first search, every node as it grows."""
    query, tools = "How many people live in Oslo?", [population]
    async for node in umi.explore(agent, query, tools=tools, strategy="dfsdt", max_completions=8):
        print("node:", node.index, node.status.value)


def main() -> None:
    with umi.load(*sys.argv[1:2]) as agent:
        ask_once(agent)
        talk(agent)
        asyncio.run(explore(agent))


if __name__ == "__main__":
    main()

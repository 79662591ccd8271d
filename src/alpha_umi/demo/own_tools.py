"""Tools as a user writes them, and what the bundled agent for such tools does with three requests.

Nobody trained the agent on these tools. The requests were written before it was asked; each is right where the needed
calls were made and the answer holds their result.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Console

from alpha_umi.demo.page import ShownTask
from alpha_umi.display import TurnPrinter, loading, print_heading, print_line
from alpha_umi.jobs.agent import Agent, load
from alpha_umi.loading.bundled import DEFAULT, OWN_TOOLS, default_agent
from alpha_umi.rollouts.runner import Rollout
from alpha_umi.search import Node
from alpha_umi.types import Json, Trajectory

METHOD = "CoT@1"
TITLE = "Tools of one's own"


def population(city: str) -> int:
    """How many people live in a city.

    Args:
        city: Name of the city, such as Graz.
    """
    return {"Oslo": 717710, "Graz": 302660}[city]


def convert_length(value: float, from_unit: Literal["km", "mile"], to_unit: Literal["km", "mile"]) -> float:
    """Convert a length from one unit to another."""
    return round(value * {"km": 1.0, "mile": 1.609344}[from_unit] / {"km": 1.0, "mile": 1.609344}[to_unit], 2)


def book_table(restaurant: str, people: int, date: str) -> dict[str, Json]:
    """Book a table in a restaurant.

    Args:
        restaurant: Its name.
        people: How many.
        date: Day, YYYY-MM-DD.
    """
    return {"booking": "T-4712", "restaurant": restaurant, "people": people, "date": date}


TOOLS = (population, convert_length, book_table)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Request with its needed call, and what the answer has to hold."""

    query: str
    tool: str
    arguments: dict[str, Json]
    answer: str

    def is_done(self, trajectory: Trajectory) -> bool:
        """Test if exactly the needed call was made, and the answer holds its result."""
        made = [(call.name, json.loads(call.arguments)) for call in trajectory.calls]
        return made == [(self.tool, self.arguments)] and self.answer in (trajectory.answer or "").replace(",", "")


REQUESTS = (
    Request(query="How many people live in Graz?", tool="population", arguments={"city": "Graz"}, answer="302660"),
    Request(
        query="Convert 12 miles to kilometers.",
        tool="convert_length",
        arguments={"value": 12, "from_unit": "mile", "to_unit": "km"},
        answer="19.31",
    ),
    Request(
        query="Book a table for 4 people at the Golden Lamb on 2027-03-05.",
        tool="book_table",
        arguments={"restaurant": "Golden Lamb", "people": 4, "date": "2027-03-05"},
        answer="T-4712",
    ),
)


def ask_with_own_tools(console: Console) -> Sequence[ShownTask]:
    """Ask the bundled agent for tools of a user's own, live; nothing where its base model is not installed."""
    if default_agent(own_tools=True) == DEFAULT:
        return ()
    with loading(console, OWN_TOOLS):
        agent = load(OWN_TOOLS)
    with agent:
        return [_show(agent, request, console) for request in REQUESTS]


def _show(agent: Agent, request: Request, console: Console) -> ShownTask:
    print_heading(console, TITLE, request.query)
    nodes: dict[int, Node] = {}
    started = time.monotonic()
    with TurnPrinter(console) as printer:

        def on_node(node: Node) -> None:
            nodes[node.index] = node
            printer.on_node(node)

        trajectory = agent.ask(request.query, tools=[*TOOLS], on_node=on_node, on_token=printer.on_token)
    passed = request.is_done(trajectory)
    words = "right" if passed else f"wrong: needed is {request.tool} {json.dumps(request.arguments)}"
    print_line(console, f"{'checked':>10}  {words}", "bold green" if passed else "bold red")
    rollout = Rollout(
        set=TITLE,
        trajectory=trajectory,
        nodes=tuple(nodes.values()),
        method=METHOD,
        verdict={"passed": passed, "reasons": [] if passed else [words]},
        seconds=round(time.monotonic() - started, 3),
    )
    return ShownTask(title=TITLE, rollout=rollout)

"""Python functions as tools, with types that JSON does not have: dates, enums, dataclasses.

python examples/own_tools.py                          # a scripted agent, no weights
python examples/own_tools.py RUN "Book a court ..."   # a real one: a run directory, an agent file, a bundled name
"""

import sys
from dataclasses import dataclass
from datetime import date
from enum import Enum

import alpha_umi as umi


class Sport(Enum):
    TENNIS = "tennis"
    SQUASH = "squash"


@dataclass
class Slot:
    day: date
    hour: int = 18


PRICES = {Sport.TENNIS: 14, Sport.SQUASH: 10}
BOOKED: list[tuple[Sport, Slot]] = []


def price(sport: Sport = Sport.TENNIS) -> int:
    """Price of a court per hour in euros.

    Args:
        sport: The game that is played there.
    """
    return PRICES[sport]


@umi.tool(name="book_court")
def book(sport: Sport, slot: Slot, players: int = 2) -> dict:
    """Book a court.

    Args:
        sport: The game.
        slot: Day and full hour.
        players: How many people play.
    """
    BOOKED.append((sport, slot))
    return {"sport": sport, "day": slot.day, "weekday": f"{slot.day:%A}", "hour": slot.hour, "players": players}


class Scripted:
    """An agent that books one court: any object with `propose` is an agent."""

    async def propose(self, task: umi.Task, turns: tuple[umi.Turn, ...]) -> umi.Proposal:
        seen = [turn for turn in turns if isinstance(turn, umi.Observation)]
        if not seen:
            plan = umi.Plan(thought="A court is wanted. I book it.", decision=umi.Decision.CALL)
            arguments = '{"sport": "squash", "slot": {"day": "2026-06-05"}}'
            return umi.Proposal(turns=(plan, umi.Call(name="book_court", arguments=arguments)))
        plan = umi.Plan(thought="It is booked.", decision=umi.Decision.CONCLUDE)
        return umi.Proposal(turns=(plan, umi.Answer(text=f"Booked: {seen[-1].content}")))


def main(agent: object = None, query: str = "Book a squash court on the 5th of June.") -> None:
    done = umi.ask(query, tools=[price, book], agent=agent or Scripted())
    for spec in done.task.tools:
        print(f"{spec.name}: {spec.parameters['properties']}")
    print(done.answer)


if __name__ == "__main__":
    main(*sys.argv[1:])

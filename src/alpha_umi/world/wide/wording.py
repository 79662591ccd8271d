"""How queries are worded: frames around what is wanted. No wording of a training query stands in a test query."""

from __future__ import annotations

from dataclasses import dataclass

from alpha_umi.world.needs import Ask


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """One side's ways to ask."""

    plain: tuple[str, ...]
    """Around a noun phrase."""
    contexts: tuple[str, ...]
    """What may stand before."""
    joints: tuple[str, ...]
    """Between two noun phrases."""


TRAIN = Frames(
    plain=(
        "What is {x}?",
        "Tell me {x}.",
        "Give me {x}, please.",
        "I want to know {x}.",
        "I need {x}.",
        "Please find {x}.",
        "Find out {x}.",
        "Can you tell me {x}?",
        "Show me {x}.",
        "I would like to know {x}.",
        "Let me know {x}.",
        "Look up {x} for me.",
        "Please get me {x}.",
        "I am looking for {x}.",
        "Can you find {x}?",
        "I must know {x}.",
    ),
    contexts=(
        "I am planning a trip.",
        "My boss is asking.",
        "I have a question.",
        "It is urgent.",
        "I am writing a report.",
        "We are curious.",
        "Hello!",
        "Good morning.",
    ),
    joints=(" and ", ", and also ", " as well as "),
)
TEST = Frames(
    plain=(
        "Could you tell me {x}, please?",
        "Help me find {x}.",
        "Check {x} for me.",
        "I wonder about {x}.",
        "Search for {x}.",
        "Do you know {x}?",
    ),
    contexts=("My family has a bet.", "I am in a hurry.", "Good evening.", "We need some facts."),
    joints=(" and then ", " together with "),
)


def questions(ask: Ask, *, train: bool) -> tuple[str, ...]:
    """The whole sentences of one side: where there are several, the last one is kept for tests."""
    if len(ask.questions) < 2:
        return ask.questions if train else ()
    return ask.questions[:-1] if train else ask.questions[-1:]

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
    whole: int
    """One of so many queries is a whole sentence of its own, where there is one."""


PAGES = (
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
)
"""Ways to ask around a noun phrase that stand on pages too."""
TRAIN = Frames(
    plain=(
        *PAGES,
        "{x}",
        "{x}, please.",
        "I want {x}.",
        "What about {x}?",
        "My question is about {x}.",
        "Get {x} for me.",
        "May I ask for {x}?",
        "I have to know {x}.",
        "Please tell us {x}.",
        "Would you look for {x}?",
        "I was asked for {x}.",
        "We are curious about {x}.",
        "Bring me {x}, please.",
        "Will you please say {x}?",
        "It is {x} that I want.",
        "Try to get {x}.",
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
    joints=(
        " and ",
        ", and also ",
        " as well as ",
        " plus ",
        " along with ",
        ", besides ",
        " and after that ",
        ", in addition ",
        " and likewise ",
        ", not to forget ",
        " and with it ",
        " & ",
    ),
    whole=2,
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
    whole=3,
)


def questions(ask: Ask, *, train: bool) -> tuple[str, ...]:
    """The whole sentences of one side: where the tables have several, the last one is kept for tests."""
    if train:
        return (*page_questions(ask), *ask.asked)
    return ask.questions[-1:] if len(ask.questions) > 1 else ()


def page_questions(ask: Ask) -> tuple[str, ...]:
    """Those of training that stand on pages too."""
    return ask.questions[:-1] if len(ask.questions) > 1 else ask.questions

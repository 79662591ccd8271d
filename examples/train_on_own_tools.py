"""Train an agent on tools of your own: run the tools for trajectories, check them, train, ask.

    python examples/train_on_own_tools.py

It starts from the small backbone of the bundled agent, about a minute on two cores; `model.base` names another model.
"""

import json
import random
import sys
from pathlib import Path

import alpha_umi as umi
from alpha_umi.jobs.check import check_data
from alpha_umi.preparation.checks import Severity
from alpha_umi.store import write_trajectories

PRICES = {"hammer": 14, "ladder": 59, "tape": 4, "saw": 22, "drill": 88, "paint": 17, "brush": 5, "shovel": 26}
STOCK = {"hammer": 42, "ladder": 3, "tape": 61, "saw": 12, "drill": 7, "paint": 35, "brush": 80, "shovel": 19}


@umi.tool
def price_of(item: str) -> int:
    """Price of one piece of an item in euros."""
    return PRICES[item]


@umi.tool
def stock_of(item: str) -> int:
    """Pieces of an item that lie in the shop."""
    return STOCK[item]


TOOLS = {"price_of": price_of, "stock_of": stock_of}
QUERIES = {
    "price_of": ["What does a {} cost?", "How much is the {}?", "Tell me the price of a {}.", "What is a {} worth?"],
    "stock_of": ["How many of the {} are in stock?", "Do we have the {}, and how many?", "Count the {}, please."],
}
ANSWERS = {"price_of": "The {item} costs {value} euros.", "stock_of": "There are {value} of the {item}."}
UNSEEN = {"price_of": "How much does the {} cost?", "stock_of": "How many of the {} do we have?"}
"""Wordings for tests."""


def trajectory(number: int, *, test: bool = False) -> umi.Trajectory:
    """One solved task: a tool and an item are drawn, the tool is run, the turns are written around it."""
    draw = random.Random(number)
    name, item = draw.choice(list(TOOLS)), draw.choice(list(PRICES))
    query = (UNSEEN[name] if test else draw.choice(QUERIES[name])).format(item)
    value = TOOLS[name](item)
    tools = tuple(TOOLS[each].spec for each in draw.sample(list(TOOLS), len(TOOLS)))
    turns = (
        umi.User(text=query),
        umi.Plan(thought=f"I need the {name} {item}. I will call {name}.", decision=umi.Decision.CALL),
        umi.Call(name=name, arguments=json.dumps({"item": item})),
        umi.Observation(content=str(value)),
        umi.Plan(thought=f"I have {value}. I can answer.", decision=umi.Decision.CONCLUDE),
        umi.Answer(text=ANSWERS[name].format(item=item, value=value)),
    )
    return umi.Trajectory(
        task=umi.Task(id=f"shop-{number}", query=query, tools=tools), turns=turns, stop=umi.StopReason.ANSWERED
    )


def main(folder: Path) -> None:
    """Write data, check it, train, and ask one question in a wording that was not trained on."""
    data = folder / "train.jsonl"
    write_trajectories(data, (trajectory(number) for number in range(240)))
    assert not check_data(data).by_severity(Severity.WRONG)
    changes = ["stages.backbone.epochs=2", "stages.backbone.learning_rate=1e-3"]
    changes += ["model.base=umi-tiny/backbone", f"data.train={data}", f"out={folder / 'run'}"]
    run = umi.train("demo-train", changes)
    print(umi.ask("How much does the drill cost?", tools=list(TOOLS.values()), agent=run).answer)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/shop"))

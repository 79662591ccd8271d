"""Tasks of the functions world: a pure function of (seed, split, index)."""

from __future__ import annotations

from alpha_umi.types import Task
from alpha_umi.world.functions.kinds import TRAIN_KINDS, draw_exchanges
from alpha_umi.world.functions.library import Shelf, load_library, version
from alpha_umi.world.functions.offers import Offer
from alpha_umi.world.functions.problems import FunctionProblem, Kind
from alpha_umi.world.functions.sketches import Sketch
from alpha_umi.world.functions.splits import NAME, Split
from alpha_umi.world.functions.stores import Books
from alpha_umi.world.random_streams import RandomStream


def draw_problem(seed: int, split: str, index: int) -> FunctionProblem:
    """Draw the problem of an index."""
    shelf = load_library().shelf(Split(split))
    rng = RandomStream("functions", seed, split, index)
    return draw_in(shelf, rng, seed, index)


def draw_in(shelf: Shelf, rng: RandomStream, seed: int, index: int) -> FunctionProblem:
    """Draw a problem of a shelf."""
    kind = rng.weighted(_kinds(shelf))
    name, train = f"{NAME}-{shelf.split}-{index}", shelf.split is Split.TRAIN
    sketch = Sketch(
        rng=rng,
        shelf=shelf,
        offer=Offer.draw(rng, shelf),
        books=Books(key=(seed, name), train=train, domains=shelf.domains),
        kind=kind,
    )
    draw_exchanges(sketch)
    tools = sketch.offer.shuffled(first=[*sketch.down])
    calls = sum(len(exchange.steps) for exchange in sketch.exchanges)
    task = Task(
        id=name,
        query=sketch.exchanges[-1].text,
        tools=tuple(tool.spec for tool in tools.values()),
        metadata={
            "world": version(),
            "preset": NAME,
            "seed": seed,
            "split": shelf.split.value,
            "index": index,
            "kind": kind.value,
            "calls": calls + len(sketch.down) - (kind is Kind.FAILED),
            "needs": [*sketch.named],
        },
    )
    return FunctionProblem(
        task=task,
        kind=kind,
        seed=seed,
        train=train,
        domains=shelf.domains,
        tools=tools,
        exchanges=tuple(sketch.exchanges),
        down=sketch.down,
    )


def _kinds(shelf: Shelf) -> dict[Kind, int]:
    """Frequencies of the kinds for which the shelf has requests."""
    has = {
        Kind.PARALLEL: bool(shelf.several),
        Kind.CHAIN: bool(shelf.chains(turns=False)),
        Kind.TURNS: bool(shelf.chains(turns=True)),
        Kind.ASK: bool(shelf.incomplete),
        Kind.SUPPLIED: bool(shelf.incomplete),
        Kind.NONE: bool(shelf.outside),
    }
    return {kind: weight for kind, weight in TRAIN_KINDS.items() if has.get(kind, True)}

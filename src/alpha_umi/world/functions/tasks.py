"""Tasks of the functions world: a pure function of (seed, split, index)."""

from __future__ import annotations

from alpha_umi.types import Task
from alpha_umi.world.functions.kinds import TRAIN_KINDS, draw_exchanges
from alpha_umi.world.functions.library import SplitDomains, load_library, version
from alpha_umi.world.functions.offers import Offer
from alpha_umi.world.functions.problems import FunctionProblem, Kind
from alpha_umi.world.functions.sketches import Sketch
from alpha_umi.world.functions.splits import NAME, Split
from alpha_umi.world.functions.stores import Books
from alpha_umi.world.random_streams import RandomStream


def draw_problem(seed: int, split: str, index: int) -> FunctionProblem:
    """Draw the problem of an index."""
    source = load_library().of_split(Split(split))
    rng = RandomStream("functions", seed, split, index)
    return draw_in(source, rng, seed, index)


def draw_in(source: SplitDomains, rng: RandomStream, seed: int, index: int) -> FunctionProblem:
    """Draw a problem of a split."""
    kind = rng.weighted(_kinds(source))
    name, train = f"{NAME}-{source.split}-{index}", source.split is Split.TRAIN
    sketch = Sketch(
        rng=rng,
        source=source,
        offer=Offer.draw(rng, source),
        books=Books(key=(seed, name), train=train, domains=source.domains),
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
            "split": source.split.value,
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
        domains=source.domains,
        tools=tools,
        exchanges=tuple(sketch.exchanges),
        down=sketch.down,
    )


def _kinds(source: SplitDomains) -> dict[Kind, int]:
    """Frequencies of the kinds for which the source has requests."""
    has = {
        Kind.PARALLEL: bool(source.several),
        Kind.CHAIN: bool(source.chains(turns=False)),
        Kind.TURNS: bool(source.chains(turns=True)),
        Kind.ASK: bool(source.incomplete),
        Kind.SUPPLIED: bool(source.incomplete),
        Kind.NONE: bool(source.outside),
    }
    return {kind: weight for kind, weight in TRAIN_KINDS.items() if has.get(kind, True)}

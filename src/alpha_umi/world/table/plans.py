"""Plans of queries: calls whose inputs the query names or other calls find, drawn backwards from the intents.

An input's value is named by the query, or found by another need that makes values of its domain. The possible numbers
of calls are computed beforehand for every need, so that a plan of a given length is drawn without search.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TypeAlias

from alpha_umi.world.domains import Domain
from alpha_umi.world.kinds import Kind, Step
from alpha_umi.world.needs import AnswerPart, IntentTemplate, Need
from alpha_umi.world.random_streams import RandomStream

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
LONGEST = 6
"""Calls."""
_SHARED = 60
"""Percent of second intents that are about the same thing as the first, where they can be."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slot:
    """A value that the query names."""

    name: str
    domain: Domain


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Derived:
    """An output of another call."""

    node: Node
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionValue:
    """A value of an optional input, other than its default."""

    value: str


Source: TypeAlias = Slot | Derived | OptionValue


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Node:
    """One call of a plan."""

    need: Need
    inputs: Mapping[str, Source]

    @property
    def signature(self) -> str:
        """The shape of the plan below this call, without the values."""
        return f"{self.need.name}({','.join(_shape(source) for source in self.inputs.values())})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """One thing that the query asks."""

    node: Node
    template: IntentTemplate
    target: Source | None = None
    """A currency into which the price is to be changed."""
    conversion: Node | None = None
    """The call that does it."""

    @property
    def last(self) -> Node:
        """The call that gives the answer."""
        return self.conversion or self.node

    @property
    def signature(self) -> str:
        """The shape of the plan and the values that it answers with."""
        return f"{self.last.signature}.{'+'.join(part.value for part in self.template.answer_parts)}"


def _shape(source: Source) -> str:
    """The shape of the plan below an input."""
    match source:
        case Slot(domain=domain):
            return domain.name
        case Derived(node=node, output=output):
            return f"{node.signature}.{output}"
        case OptionValue(value=value):
            return value


# --- what is possible -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scope:
    """Needs of which a plan may be made, with the possible numbers of calls of each."""

    needs: Mapping[str, Need]
    makers: Mapping[str, tuple[tuple[Need, str], ...]]
    """Domain -> the needs that find values of it, and under which output."""
    calls: Mapping[str, frozenset[int]]
    """Need -> possible numbers of calls, its own included."""
    lengths: frozenset[int]
    """Possible numbers of calls of all of them."""
    _splits: dict[tuple[str, int], list[tuple[int, ...]]] = field(
        default_factory=dict[tuple[str, int], list[tuple[int, ...]]]
    )

    @classmethod
    def of(cls, needs: Iterable[Need]) -> Scope:
        """The scope of these needs."""
        by_name = {need.name: need for need in needs}
        makers: dict[str, tuple[tuple[Need, str], ...]] = {}
        for need in by_name.values():
            for output, domain in need.reference_domains.items():
                makers[domain.name] = (*makers.get(domain.name, ()), (need, output))
        required = {name: tuple(_required(need).values()) for name, need in by_name.items()}
        domains = {domain.name: domain for inputs in required.values() for domain in inputs}
        before: dict[str, frozenset[int]] = {}
        calls = {name: frozenset[int]() for name in by_name}
        while calls != before:  # lengths only grow, up to LONGEST
            ways = {name: _ways(domain, makers, calls) for name, domain in domains.items()}
            before = calls
            calls = {name: _lengths(ways[domain.name] for domain in inputs) for name, inputs in required.items()}
        lengths = frozenset(length for name, counts in calls.items() if by_name[name].templates for length in counts)
        return cls(needs=by_name, makers=makers, calls=calls, lengths=lengths)

    def splits(self, need: Need, length: int) -> list[tuple[int, ...]]:
        """The ways to divide `length` - 1 calls among the inputs of a need."""
        key = need.name, length
        if key not in self._splits:
            choices = [sorted(_ways(domain, self.makers, self.calls)) for domain in _required(need).values()]
            self._splits[key] = [split for split in product(*choices) if sum(split) == length - 1]
        return self._splits[key]


def _required(need: Need) -> dict[str, Domain]:
    return {name: domain for name, domain in need.inputs.items() if name not in need.defaults}


def _ways(
    domain: Domain, makers: Mapping[str, tuple[tuple[Need, str], ...]], calls: Mapping[str, frozenset[int]]
) -> set[int]:
    """Possible numbers of calls for a value of the domain; 0: the query names it."""
    ways = {0} if is_nameable(domain) else set[int]()
    return ways.union(*(calls[need.name] for need, _ in makers.get(domain.name, ())))


def _lengths(ways: Iterable[set[int]]) -> frozenset[int]:
    """Possible numbers of calls of a need, of those for each of its inputs."""
    return frozenset(length for split in product(*ways) if (length := 1 + sum(split)) <= LONGEST)


def is_nameable(domain: Domain) -> bool:
    """True for domains whose values queries name."""
    return domain.name == "amount" or bool(domain.vague)


# --- drawing --------------------------------------------------------------------------------------------


class Planner:
    """Sampler of one plan."""

    def __init__(self, scope: Scope, rng: RandomStream) -> None:
        self._scope = scope
        self._rng = rng
        self.slots: dict[str, Slot] = {}
        self._shared: dict[str, Source] = {}

    def intent(self, length: int, *, option: bool, conversion: bool) -> Intent | None:
        """An intent that takes `length` calls; None where the draw leads nowhere."""
        scope, rng = self._scope, self._rng
        convert = scope.needs.get("convert")
        if conversion and convert is not None and length > 1:
            return self._changed(convert, length)
        options = [need for need in scope.needs.values() if need.templates and length in scope.calls[need.name]]
        if not options:
            return None
        need = rng.pick(options)
        node = self._node(need, length, frozenset())
        if node is None:
            return None
        if option and need.options:
            name = rng.pick(list(need.options))
            chosen = OptionValue(value=rng.pick(list(need.options[name])))
            node = Node(need=need, inputs={**node.inputs, name: chosen})
        return Intent(node=node, template=rng.pick(need.templates))

    def _changed(self, convert: Need, length: int) -> Intent | None:
        """An intent that asks for a price in another currency."""
        scope, rng = self._scope, self._rng
        options = [
            (need, template, spare)
            for need in scope.needs.values()
            for template in need.templates
            if need is not convert and any(part.unit == "currency" for part in template.answer_parts)
            for spare in _ways(convert.inputs["target"], scope.makers, scope.calls)
            if length - 1 - spare in scope.calls[need.name]
        ]
        if not options:
            return None
        need, template, spare = rng.pick(options)
        node = self._node(need, length - 1 - spare, frozenset((convert.name,)))
        target = self._source("target", convert.inputs["target"], spare, frozenset((convert.name, need.name)))
        if node is None or target is None:
            return None
        price = next(part.value for part in template.answer_parts if part.unit == "currency")
        inputs = {
            "amount": Derived(node=node, output=price),
            "source": Derived(node=node, output="currency"),
            "target": target,
        }
        return Intent(node=node, template=template, target=target, conversion=Node(need=convert, inputs=inputs))

    def share(self, intent: Intent) -> None:
        """Let the next intent reuse inputs of this one."""
        self._shared = {
            intent.node.need.inputs[name].name: source
            for name, source in intent.node.inputs.items()
            if self._rng.below(100) < _SHARED
        }

    def _node(self, need: Need, length: int, above: frozenset[str]) -> Node | None:
        splits = self._scope.splits(need, length)
        if not splits:
            return None
        inputs: dict[str, Source] = {}
        for (name, domain), calls in zip(_required(need).items(), self._rng.pick(splits), strict=True):
            source = self._source(name, domain, calls, above | {need.name})
            if source is None:
                return None
            inputs[name] = source
        return Node(need=need, inputs=inputs)

    def _source(self, name: str, domain: Domain, calls: int, above: frozenset[str]) -> Source | None:
        if domain.name in self._shared:
            return self._shared.pop(domain.name)
        if not calls:
            return self._slot(name, domain)
        makers = [
            (need, output)
            for need, output in self._scope.makers.get(domain.name, ())
            if calls in self._scope.calls[need.name] and need.name not in above
        ]
        if not makers:
            return None
        need, output = self._rng.pick(makers)
        node = self._node(need, calls, above)
        return Derived(node=node, output=output) if node is not None else None

    def _slot(self, name: str, domain: Domain) -> Slot:
        label = name if name not in self.slots else f"{name}{len(self.slots)}"
        self.slots[label] = Slot(name=label, domain=domain)
        return self.slots[label]


def topological_order(intents: Iterable[Intent]) -> list[Node]:
    """All calls, each after those whose outputs it takes, none twice."""
    ordered: dict[int, Node] = {}

    def visit(node: Node) -> None:
        for source in node.inputs.values():
            if isinstance(source, Derived) and id(source.node) not in ordered:
                visit(source.node)
        ordered.setdefault(id(node), node)

    for intent in intents:
        visit(intent.last)
    return list(ordered.values())


# --- what is drawn, as a kind of task ---------------------------------------------------------------------


def make_kind(intents: Sequence[Intent], nodes: Sequence[Node], slots: Mapping[str, Slot]) -> Kind:
    """Turn a plan into a kind of task, whose names are those of the slots and "OUTPUT_CALL"."""
    places = {id(node): place for place, node in enumerate(nodes)}
    steps = tuple(
        Step(
            need=node.need.name,
            inputs={name: _known(source, places) for name, source in node.inputs.items()},
            keep={output: f"{output}_{place}" for output in node.need.outputs},
            goal=_goal(node),
        )
        for place, node in enumerate(nodes)
    )
    parts: list[AnswerPart] = []
    answers: list[str] = []
    for intent in intents:
        place = places[id(intent.node)]
        terms = {output: f"{{{output}_{place}}}" for output in intent.node.need.outputs}
        terms |= {
            name: source.value if isinstance(source, OptionValue) else f"{{{_known(source, places)}}}"
            for name, source in intent.node.inputs.items()
            if name not in terms
        }
        answer = intent.template.answer
        for part in intent.template.answer_parts:
            value, unit = part.value, part.unit
            if intent.conversion is not None and unit == "currency":
                place = places[id(intent.conversion)]
                answer = answer.replace(f"{{{value}}} {{{unit}}}", "{_sum} {_money}")
                terms |= {"_sum": f"{{amount_{place}}}", "_money": f"{{currency_{place}}}"}
                parts.append(AnswerPart(value=f"amount_{place}", unit=f"currency_{place}"))
                continue
            at = places[id(intent.node)]
            parts.append(AnswerPart(value=f"{value}_{at}", unit=unit if not unit or unit[0] == "=" else f"{unit}_{at}"))
        answers.append(_PLACEHOLDER.sub(lambda found, terms=terms: terms[found[1]], answer))
    return Kind(
        name=" & ".join(intent.signature for intent in intents),
        slots={name: slot.domain.name for name, slot in slots.items()},
        steps=steps,
        queries=(),
        answer=" ".join(answers),
        answer_parts=tuple(parts),
    )


def _known(source: Source, places: Mapping[int, int]) -> str:
    """The name under which a kind knows the value."""
    match source:
        case Slot(name=name):
            return name
        case Derived(node=node, output=output):
            return f"{output}_{places[id(node)]}"
        case OptionValue(value=value):
            return f"={value}"


def _goal(node: Node) -> str:
    """The need's noun phrase with the values of optional inputs; empty where there are none."""
    chosen = [f"{{{name}}}" for name, source in node.inputs.items() if isinstance(source, OptionValue)]
    return f"{node.need.goal} ({', '.join(chosen)})" if chosen else ""

"""Writer of queries: intents put into words by the frames and sentences of a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alpha_umi.types import Json
from alpha_umi.world.domains import Amounts, Codes
from alpha_umi.world.needs import Values
from alpha_umi.world.problems import Perturbation
from alpha_umi.world.random_streams import RandomStream
from alpha_umi.world.table import wording
from alpha_umi.world.table.plans import Derived, Intent, Node, OptionValue, Slot, Source


class QueryWriter:
    """Writer of one query."""

    def __init__(self, rng: RandomStream, *, train: bool, contexts: int) -> None:
        """`contexts`: percent of queries with a sentence before what they ask."""
        self._rng, self._train, self._contexts = rng, train, contexts
        self._frames = wording.load_frames(train=train)

    def write(
        self, intents: Sequence[Intent], slots: Mapping[str, Slot], values: Values, perturbation: Perturbation
    ) -> str:
        """Write the query for one or two intents with the values of their slots.

        Perturbation.MISSING replaces one of them by a vague mention.
        """
        rng, frames = self._rng, self._frames
        mentions = {name: _mention(slot, values[name]) for name, slot in slots.items()}
        if perturbation is Perturbation.MISSING:
            name = rng.pick([name for name, slot in slots.items() if not isinstance(slot.domain, Amounts)])
            domain = slots[name].domain
            mentions[name] = "" if isinstance(domain, Amounts) else rng.pick(domain.vague)
        text = self._write_intents(intents, mentions)
        if rng.below(100) < self._contexts:
            return f"{rng.pick(frames.contexts)} {text}"
        return text

    def _write_intents(self, intents: Sequence[Intent], mentions: Mapping[str, str]) -> str:
        rng, frames = self._rng, self._frames
        first = intents[0]
        whole = wording.questions(first.template, train=self._train)
        plain = first.conversion is None and not any(
            isinstance(given, OptionValue) for given in first.node.inputs.values()
        )
        if len(intents) == 1 and plain and whole and rng.below(frames.sentence_odds) == 0:
            text = self._fill(rng.pick(whole), first.node, mentions)
        else:
            wanted = rng.pick(frames.conjunctions).join(self._write_intent(intent, mentions) for intent in intents)
            text = rng.pick(frames.patterns).format(x=wanted)
        return text[0].upper() + text[1:]

    def _write_intent(self, intent: Intent, mentions: Mapping[str, str]) -> str:
        rng = self._rng
        text = self._fill(rng.pick(intent.template.nouns), intent.node, mentions)
        for name, given in intent.node.inputs.items():
            if isinstance(given, OptionValue):
                text += f" {rng.pick(intent.node.need.options[name][given.value])}"
        return f"{text} in {self._name(intent.target, mentions)}" if intent.target is not None else text

    def _fill(self, phrase: str, node: Node, mentions: Mapping[str, str]) -> str:
        return phrase.format_map({name: self._name(given, mentions) for name, given in node.inputs.items()})

    def _name(self, source: Source, mentions: Mapping[str, str]) -> str:
        match source:
            case Slot(name=name):
                return mentions[name]
            case Derived(node=node, output=output):
                return self._fill(self._rng.pick(node.need.references[output]), node, mentions)
            case OptionValue(value=value):
                return value


def _mention(slot: Slot, value: Json) -> str:
    """The phrase for the value of a slot."""
    return slot.domain.mention.format(value) if isinstance(slot.domain, Codes) else str(value)

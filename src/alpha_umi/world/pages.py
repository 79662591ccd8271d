"""Texts for pretraining small base models on a world.

Pages state facts, document tools, keep records, show replies with their meaning, and copy and look up, so that a model
knows names, numbers, JSON and copying before it learns from any trajectory. They hold no trajectory, no wording of a
test query, and nothing of tools and categories that are held out of training. Half of the documents are of tools made
of pseudowords: a model that knows the real ones by heart has not learned to read. A page is a function of (preset,
seed, index).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from alpha_umi.formats.signatures import signature
from alpha_umi.types import Json, ToolSpec
from alpha_umi.world.catalogue import Catalogue
from alpha_umi.world.domains import Amounts, Codes, Domain, Names
from alpha_umi.world.facts import Facts
from alpha_umi.world.needs import IntentTemplate, Need, Refusal
from alpha_umi.world.pseudowords import draw_pseudoword
from alpha_umi.world.random_streams import RandomStream
from alpha_umi.world.table import wording
from alpha_umi.world.tools import Seen, Tool


class Pages:
    """Endless sequence of the pages of one world, by index."""

    def __init__(self, catalogue: Catalogue, preset: str, seed: int) -> None:
        self._key = preset, seed
        self._seed = seed
        self._tools = tuple(tool for tool in catalogue.tools.values() if tool.seen is Seen.YES)
        needs = dict.fromkeys(tool.need for tool in self._tools)
        self._needs = tuple(catalogue.needs[name] for name in needs)
        self._domains = _domains(self._needs)
        self._keys = tuple(dict.fromkeys(own for tool in self._tools for own in _own_words(tool)))

    def __getitem__(self, index: int) -> str:
        page = _Page(self, RandomStream("page", *self._key, index), Facts(seed=self._seed, moment=f"page {index}"))
        return page.write()

    @property
    def tools(self) -> Sequence[Tool]:
        """Tools that training may offer."""
        return self._tools

    @property
    def needs(self) -> Sequence[Need]:
        """Needs that those tools serve."""
        return self._needs

    @property
    def domains(self) -> Mapping[str, Domain]:
        """Domains of the inputs of those needs, by name."""
        return self._domains

    @property
    def keys(self) -> Sequence[str]:
        """Providers' own names of arguments and results."""
        return self._keys


class _Page:
    """Writer of one page."""

    def __init__(self, pages: Pages, rng: RandomStream, facts: Facts) -> None:
        self._pages = pages
        self._rng = rng
        self._facts = facts

    def write(self) -> str:
        """Write a page of a kind drawn by its weight."""
        return self._rng.weighted(_KINDS)(self)

    # --- facts --------------------------------------------------------------------------------------

    def encyclopaedia(self) -> str:
        """Facts about one name."""
        rng = self._rng
        domain = rng.pick([one for one in self._pages.domains.values() if not isinstance(one, Amounts)])
        about = self._value(domain)
        needs = [need for need in self._pages.needs if domain in need.inputs.values() and need.templates]
        lines = [str(about)]
        for need in rng.sample(needs, rng.between(2, 5)):
            inputs = self._inputs(need)
            place = next(name for name, one in need.inputs.items() if one is domain)
            lines.append(self._sentence(need, inputs | {place: about}))
        return "\n".join(lines)

    def replies(self) -> str:
        """Replies of tools, each with a question and an answer; sometimes all replies first."""
        rng = self._rng
        rows = [self._reply(tool) for tool in rng.sample(self._pages.tools, rng.between(2, 5))]
        if rng.below(2):
            return "\n".join(f"{question}\n{call}\n{reply}\n{answer}" for question, call, reply, answer in rows)
        exchanges = [f"{call}\n{reply}" for _, call, reply, _ in rows]
        answers = [f"{question}\n{answer}" for question, _, _, answer in rng.sample(rows, len(rows))]
        return "\n".join([*exchanges, *answers])

    def _reply(self, tool: Tool) -> tuple[str, str, str, str]:
        need, rng = tool.served_need, self._rng
        inputs = self._inputs(need)
        arguments = json.dumps(tool.write(inputs))
        reply = tool.run(self._facts, arguments).content
        template = rng.pick(need.templates)
        return (
            self._question(template, inputs),
            f"{tool.spec.name}\n{arguments}",
            reply,
            self._sentence(need, inputs, template),
        )

    def _question(self, template: IntentTemplate, inputs: Mapping[str, Json]) -> str:
        whole = wording.page_questions(template)
        if whole and self._rng.below(3) == 0:
            return self._rng.pick(whole).format_map(inputs)
        text = self._rng.pick(wording.load_page_frames()).format(x=self._rng.pick(template.nouns).format_map(inputs))
        return text[0].upper() + text[1:]

    def _sentence(self, need: Need, inputs: Mapping[str, Json], template: IntentTemplate | None = None) -> str:
        known = need.answer(self._facts, inputs)
        if isinstance(known, Refusal):
            return known.reason
        return (template or self._rng.pick(need.templates)).answer.format_map({**need.defaults, **inputs, **known})

    def _inputs(self, need: Need) -> dict[str, Json]:
        """Inputs for a need; optional ones are mostly left out."""
        inputs: dict[str, Json] = {}
        for name, domain in need.inputs.items():
            if name not in need.defaults:
                inputs[name] = self._value(domain)
            elif need.options.get(name) and self._rng.below(4) == 0:
                inputs[name] = self._rng.pick(tuple(need.options[name]))
        return inputs

    def _value(self, domain: Domain) -> Json:
        match domain:
            case Names(terms=terms):
                return self._rng.pick(terms)
            case Codes(of=of):
                return domain.write(self._facts, self._rng.pick(of.terms))
            case Amounts(low=low, high=high):
                return self._rng.between(low, high)

    # --- tools --------------------------------------------------------------------------------------

    def manual(self) -> str:
        """Documents of some tools, and then for each, in another order, a purpose and a call."""
        rng = self._rng
        of_pseudo_tools = rng.below(2) == 0
        count = rng.between(2, 5)
        shown = (
            [self._pseudo_tool() for _ in range(count)]
            if of_pseudo_tools
            else [self._documented(tool) for tool in rng.sample(self._pages.tools, count)]
        )
        lines = [signature(spec) for spec, _, _ in shown]
        for spec, purpose, arguments in rng.sample(shown, len(shown)):
            lines += [f"I need {purpose}. I will use {spec.name}.", f"{spec.name}\n{json.dumps(arguments)}"]
        return "\n".join(lines)

    def _documented(self, tool: Tool) -> tuple[ToolSpec, str, dict[str, Json]]:
        inputs = self._inputs(tool.served_need)
        goal = tool.served_need.goal.format_map({**tool.served_need.defaults, **inputs})
        return tool.spec, goal, tool.write(inputs)

    def _pseudo_tool(self) -> tuple[ToolSpec, str, dict[str, Json]]:
        """A tool of pseudowords, the noun phrase that it finds, and arguments."""
        rng = self._rng
        wanted = self._word()
        pattern = rng.pick(["{x} of {y}.", "Gives {x} for {y}.", "{y} and its {x}.", "The {x} that {y} has."])
        name = f"{'_'.join(self._word() for _ in range(rng.between(1, 2)))}_for_{self._word()}"
        properties: dict[str, Json] = {}
        arguments: dict[str, Json] = {}
        for _ in range(rng.weighted({1: 6, 2: 3, 3: 1})):
            key = rng.pick(self._pages.keys) if rng.below(2) else self._word()
            properties[key] = {"type": "string", "description": f"{self._word()} {self._word()}"}
            arguments[key] = str(self._thing())
        description = pattern.format(x=wanted, y=self._word())
        required: Json = [*properties]
        spec = ToolSpec(
            name=name,
            description=description[0].upper() + description[1:],
            parameters={"type": "object", "properties": properties, "required": required},
        )
        return spec, f"the {wanted} of {', '.join(map(str, arguments.values()))}", arguments

    # --- copying and looking up ---------------------------------------------------------------------

    def record(self) -> str:
        """A JSON object, and then some of its keys with their values."""
        rng = self._rng
        held: dict[str, Json] = {}
        while len(held) < rng.between(3, 8):
            held[rng.pick(self._pages.keys) if rng.below(3) else self._word()] = self._thing()
        record = f"{self._word()}: {json.dumps(held)}"
        keys = rng.sample(tuple(held), rng.between(2, len(held)))
        return "\n".join([record, *(f"The {key} is {held[key]}." for key in keys)])

    def table(self) -> str:
        """Rows of names with a value or two, and then some of them in words."""
        rng = self._rng
        columns = [self._word(), *rng.sample(self._pages.keys, rng.between(1, 2))]
        rows = {str(self._thing()): [self._thing() for _ in columns[1:]] for _ in range(rng.between(3, 7))}
        lines = [" | ".join(columns)]
        lines += [" | ".join([name, *map(str, row)]) for name, row in rows.items()]
        for name in rng.sample(tuple(rows), rng.between(2, len(rows))):
            place = rng.below(len(columns) - 1)
            lines.append(f"The {columns[place + 1]} of {name} is {rows[name][place]}.")
        return "\n".join(lines)

    def copy(self) -> str:
        """A list of values, and the same list again."""
        things = ", ".join(str(self._thing()) for _ in range(self._rng.between(3, 12)))
        return "\n".join([things] * self._rng.between(2, 3))

    def _thing(self) -> Json:
        """A name, a code, a number, a time or a pseudoword."""
        rng = self._rng
        match rng.below(8):
            case 0:
                return rng.between(0, 9)
            case 1:
                return rng.between(10, 99)
            case 2:
                return rng.between(100, 9999)
            case 3:
                return f"{rng.between(0, 23):02}:{5 * rng.below(12):02}"
            case 4:
                return self._word(capital=True)
            case _:
                return self._value(rng.pick(tuple(self._pages.domains.values())))

    def _word(self, *, capital: bool = False) -> str:
        """A pseudoword; now and then a documented word."""
        rng = self._rng
        word = rng.pick(self._pages.keys) if rng.below(4) == 0 else draw_pseudoword(rng)
        return word.capitalize() if capital else word


_KINDS: Mapping[Callable[[_Page], str], int] = {
    _Page.encyclopaedia: 10,
    _Page.replies: 30,
    _Page.manual: 30,
    _Page.record: 10,
    _Page.table: 10,
    _Page.copy: 10,
}


def _domains(needs: Sequence[Need]) -> dict[str, Domain]:
    return {domain.name: domain for need in needs for domain in need.inputs.values() if domain.name != "unit"}


def _own_words(tool: Tool) -> list[str]:
    return [*tool.arguments.values(), *tool.results.values(), *tool.spec.name.split("_")]

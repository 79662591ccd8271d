"""Grounded agent: tries several tools for a request and keeps the call whose values were named.

Small models choose among tools by a word, and fill in what nobody said. So the tools that share words with the request
are tried one by one, by plans that begin with them; the caller is held to numbers, dates and times that were named; a
call with other invented values is dropped; and of the calls that are left, the one is made that takes up most of what
the user named. A value that no call has taken up yet, or a tool that lacked one which an observation has since told,
asks for a further call. Where no call is left, the user is asked for what is missing.

An agent keeps no state: which tools are in question follows from the task and its turns.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import cast

from alpha_umi.agent import MultiAgent
from alpha_umi.arguments import Fault, read_arguments
from alpha_umi.formats.prompts.asking import DONE, ask_for, decline, plan_call
from alpha_umi.formats.prompts.retrieval import split_terms, write_terms
from alpha_umi.grounding.answers import ground_answer
from alpha_umi.grounding.attempts import Attempts
from alpha_umi.grounding.descriptions import described, with_shared_descriptions
from alpha_umi.grounding.evidence import (
    Evidence,
    defaults_of,
    free_arguments,
    is_identifier,
    is_moment,
    taken_up,
    things_named,
)
from alpha_umi.grounding.links import Links
from alpha_umi.grounding.mentions import MentionKind
from alpha_umi.grounding.narrowing import as_said, narrow
from alpha_umi.grounding.purposes import describes, is_meant, mentions, names_choice, tells
from alpha_umi.grounding.requests import as_known, as_spelled, list_further, split_request, without_taken
from alpha_umi.grounding.trials import Offer, Trial
from alpha_umi.retrieval.corpus import spec_document
from alpha_umi.retrieval.tool_indexes import ToolIndexes
from alpha_umi.types import (
    Answer,
    Call,
    Decision,
    Json,
    Observation,
    Plan,
    Proposal,
    Role,
    Task,
    ToolSpec,
    ToolStatus,
    Turn,
    Usage,
    User,
)

_IN_VIEW = 4
"""Tools that are read and tried at once; further ones where none of them fits."""
_NEAR = 0.4
"""Share of the best tool's score that a further tool has."""
_MOST_TRIED = 9
_POINTER = re.compile(r"(?:(?:the|my|our) )?([A-Za-z]+) (?:no\.? |number |#)?\S*\d\S*")
_TELLERS = 2
"""Further tools that are tried where they may tell what the likeliest one lacks."""
_MOST_CALLS = 4
"""Calls of one exchange after which it goes on only where the planner says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundedAgent:
    """Agent whose calls are grounded in what was said (`protocols.Agent`)."""

    drafter: MultiAgent
    """Agent whose roles are asked."""
    _indexes: ToolIndexes = field(default_factory=ToolIndexes, repr=False, compare=False)

    async def propose(self, task: Task, turns: Sequence[Turn]) -> Proposal:
        tried = Attempts.of(turns)
        last = tried.turns[-1] if tried.turns else None
        step = _Step(self.drafter, task, tried, self._indexes)
        seen = replace(task, tools=step.in_view())
        if not task.tools or (isinstance(last, Plan) and last.decision is not Decision.NONE):
            proposal = await self.drafter.draft(seen, tried.turns)
            proposal = replace(proposal, turns=tuple(map(step.grounded, proposal.turns)))
        else:
            said = await (step.go_on() if step.made else step.begin())
            proposal = Proposal(turns=tried.end(said), usage=step.usage)
        return await self.drafter.followed(proposal, seen, tried.turns)


class _Step:
    """One step of a grounded agent."""

    def __init__(self, agent: MultiAgent, task: Task, tried: Attempts, indexes: ToolIndexes) -> None:
        turns = tried.turns
        self._agent, self._task, self._tried, self._turns, self._indexes = agent, task, tried, turns, indexes
        self._asked = max((at for at, turn in enumerate(turns) if isinstance(turn, User)), default=-1)
        asked = turns[self._asked] if self._asked >= 0 else None
        self._query = asked.text if isinstance(asked, User) else task.query
        self._said, self._before = Evidence.of(turns), Evidence.of(turns[: self._asked + 1])
        self._index = indexes.of(task.tools) if task.tools else None
        self._offers = self._rank()
        self._identified = frozenset(
            term
            for tool in task.tools
            for name in cast("Mapping[str, Json]", tool.parameters.get("properties") or {})
            if is_identifier(name)
            for term in split_terms(name)
        )
        self._named = things_named(Evidence.read([self._query]), task.tools)
        self._links = Links(turns[self._asked + 1 :])
        self.made = [turn for turn in turns[self._asked + 1 :] if isinstance(turn, Call)]
        self._lacking: tuple[str, ...] = ()
        """What the tool that was asked for still lacks."""
        self.usage = Usage()

    def _rank(self) -> list[Offer]:
        """The tools by what they share with the request, then in the task's order."""
        tools = {tool.name: tool for tool in with_shared_descriptions(self._task.tools)}
        words = set(split_terms(self._query))
        hits = self._scores(self._query)
        best = max(hits.values(), default=1.0)
        order = [*(name for name in hits if name in tools), *(name for name in tools if name not in hits)]
        offers = [
            Offer(
                narrowed=narrow(tools[name], self._said, self._before),
                score=hits.get(name, 0.0) / best,
                meant=_share(split_terms(name), words),
                is_chosen=names_choice(tools[name], words),
            )
            for name in order
        ]
        return sorted(offers, key=lambda offer: offer.narrowed.is_misfit)

    def _with(self, tools: tuple[ToolSpec, ...], offers: Sequence[Offer]) -> tuple[ToolSpec, ...]:
        names = {offer.tool.name for offer in offers}
        return (*tools, *(tool for tool in self._task.tools if tool.name in names))

    def _scores(self, query: str) -> dict[str, float]:
        if self._index is None:
            return {}
        known = {term for tool in self._task.tools for term in write_terms(spec_document(tool))}
        return {hit.api.name: hit.score for hit in self._index.rank(as_known(query, known), len(self._task.tools))}

    def in_view(self) -> tuple[ToolSpec, ...]:
        """Tools that are read: the called ones and the likeliest, in the task's order."""
        called = {turn.name for turn in self._turns if isinstance(turn, Call)}
        best = {offer.tool.name for offer in self._offers[:_IN_VIEW]}
        return tuple(tool for tool in self._task.tools if tool.name in called | best)

    def grounded(self, turn: Turn) -> Turn:
        """The turn; an answer as the observations support it."""
        return ground_answer(turn, self._turns, self._asked) if isinstance(turn, Answer) else turn

    # --- the first call of an exchange ------------------------------------------------------------------------

    async def begin(self) -> tuple[Turn, ...]:
        """Begin with the first part of a request that has several, where a tool serves it."""
        parts = split_request(self._query, self._task.tools)
        if len(parts) > 1:
            said = await self._begin_part(parts[0])
            if said:
                return said
        return await self._begin_whole()

    async def _begin_part(self, text: str, after: tuple[Turn, ...] = ()) -> tuple[Turn, ...]:
        """Begin with a part of the request; nothing where that does not end in a new call."""
        tried = replace(self._tried, turns=self._asking(text, after))
        step = _Step(self._agent, replace(self._task, query=text), tried, self._indexes)
        said = await step._begin_whole(is_part=True)
        self.usage += step.usage
        return said if any(isinstance(turn, Call) and turn not in self.made for turn in said) else ()

    async def _begin_whole(self, *, is_part: bool = False) -> tuple[Turn, ...]:
        """Begin with the likeliest call. `is_part`: a tool is meant for sure, one that takes up a value."""
        goal = self._offers[0]
        if goal.narrowed.is_misfit:
            return decline()
        able = [offer for offer in self._offers if offer.is_able][:_MOST_TRIED]
        lacked = frozenset(term for name in goal.narrowed.missing for term in split_terms(name))
        told = all(map(is_identifier, goal.narrowed.missing)) or any(
            not lacked.isdisjoint(split_terms(offer.tool.name)) for offer in able
        )
        rivals = any(offer.is_chosen for offer in able)
        if goal.is_sought and goal.narrowed.missing and not told and not (rivals and not goal.is_chosen):
            return ask_for(goal.tool, goal.narrowed.missing)
        tried: list[Trial] = []
        for at in range(0, len(able), _IN_VIEW):
            some = able[at : at + _IN_VIEW]
            tools = tuple(tool for tool in self._task.tools if tool.name in {offer.tool.name for offer in some})
            plan = await self._plan(tools, self._turns)
            if not _calls(plan) and (turns := self._spelled(tools)) != self._turns:
                plan = await self._plan(tools, turns)
            if not _calls(plan) and not is_part and goal.meant < 1 and not self._tried.were_made:
                break  # that none of them does this is seldom wrong
            picked = await self._read_plan(plan, tools, self._turns, is_picked=True)
            if picked is not None and picked.is_grounded and picked.offer is goal and not self._left([picked.values]):
                return picked.turns
            others = [offer for offer in some if picked is None or offer is not picked.offer]
            trials = [*([picked] if picked else ()), *await self._try_each(others, tools, self._turns)]
            sought = next((trial.sought for trial in trials if trial.offer is goal and not trial.is_grounded), None)
            tellers = [offer for offer in able if offer not in some and tells(offer.tool, sought or ())][:_TELLERS]
            trials += await self._try_each(tellers, self._with(tools, tellers), self._turns)
            tried += trials
            good = [trial for trial in trials if trial.is_grounded]
            if not good and _calls(plan):
                good = await self._insist([trial.offer for trial in trials if trial.call is None], tools)
            if goal.narrowed.missing:
                good = [trial for trial in good if trial.offer.is_chosen or self._may_tell(trial)]
            whole = await asyncio.gather(*(self._completed(trial, tools) for trial in good))
            whole = [trial for trial in whole if trial.taken or not is_part]
            if whole:
                return max(whole, key=lambda trial: trial.worth + 2 * tells(trial.offer.tool, sought or ())).turns
        return self._without_call(goal, tried)

    def _without_call(self, goal: Offer, tried: Sequence[Trial]) -> tuple[Turn, ...]:
        """Ask for what is missing, or decline, where no trial of a tool gave a call."""
        if goal.score and goal.narrowed.missing:
            return ask_for(goal.tool, goal.narrowed.missing)
        chosen = next((each for each in self._offers if each.narrowed.missing and each.is_chosen), None)
        if chosen is not None and not any(trial.call for trial in tried):
            return ask_for(chosen.tool, chosen.narrowed.missing)
        lacking = next((trial for trial in tried if trial.offer is goal and trial.call and goal.score), None)
        if lacking is None or not (lacking.unnamed or (goal.is_meant and lacking.guessed)):
            return decline()
        return ask_for(goal.tool, lacking.unnamed or lacking.guessed)

    async def _insist(self, offers: Sequence[Offer], tools: tuple[ToolSpec, ...]) -> list[Trial]:
        """Calls of tools that the planner did not agree to, where those it agreed to are not grounded."""
        asked = (self._call_as_said(plan_call(offer.tool), offer.narrowed.spec, self._turns, tools) for offer in offers)
        return [trial for trial in await asyncio.gather(*asked) if trial is not None and trial.is_grounded]

    def _spelled(self, tools: Iterable[ToolSpec]) -> tuple[Turn, ...]:
        """What was said, with the request's misspelled words as the tools have them."""
        return self._asking(as_spelled(self._query, tools), self._turns[self._asked + 1 :])

    def _asking(self, text: str, after: tuple[Turn, ...] = ()) -> tuple[Turn, ...]:
        """What was said before, another text for the request, and what came after."""
        return (*self._turns[: self._asked], User(text=text), *after)

    def _may_tell(self, trial: Trial) -> bool:
        """Test if a call may tell an identifier: it looks for something by a name, or by another identifier."""
        free = free_arguments(trial.offer.tool)
        return any((name in free and not is_moment(trial.values[name])) or is_identifier(name) for name in trial.given)

    async def _completed(self, trial: Trial, tools: tuple[ToolSpec, ...]) -> Trial:
        """The call with optional arguments that take up more of the request, where there are any."""
        spec = trial.offer.narrowed.spec
        declared = cast("Mapping[str, Json]", spec.parameters["properties"])
        if trial.given >= declared.keys() or not self._left([trial.values]):
            return trial
        properties: dict[str, Json] = {
            name: schema if name in trial.given else _without(schema, trial.values.get(name))
            for name, schema in declared.items()
        }
        whole = replace(spec, parameters={**spec.parameters, "properties": properties, "required": list(declared)})
        more = await self._call(trial.plan, (whole,), self._turns, tools)
        if more is None or not more.is_grounded or not more.taken > trial.taken:
            return trial
        return replace(more, is_picked=trial.is_picked)

    # --- further calls ------------------------------------------------------------------------------------------

    async def go_on(self) -> tuple[Turn, ...]:
        last = self._turns[-1]
        failed = isinstance(last, Observation) and last.status is not ToolStatus.OK
        if len(self.made) < _MOST_CALLS and not failed and (said := await self._find_further()):
            return said
        tools = self.in_view()
        plan = await self._plan(tools, self._turns)
        if plan.decision is not Decision.CALL:
            return ask_for(self._offers[0].tool, self._lacking) if self._lacking else (plan,)
        trial = await self._read_plan(plan, tools, self._turns)
        if trial is not None and trial.is_grounded and trial.call not in self.made:
            return trial.turns
        return (Plan(thought=DONE, decision=Decision.CONCLUDE),)

    async def _find_further(self) -> tuple[Turn, ...]:
        return await self._go_on_with_part() or await self._try_further(self._left(self._made_values()))

    async def _go_on_with_part(self) -> tuple[Turn, ...]:
        """A call for the first part of the request of which no call has taken up anything."""
        parts = split_request(self._query, self._task.tools)
        for part in parts if len(parts) > 1 else ():
            named = things_named(Evidence.read([part]), self._task.tools)
            if not any(taken_up(named, values) for values in self._made_values()):
                return await self._begin_part(part) or await self._begin_part(part, self._turns[self._asked + 1 :])
        return ()

    async def _try_further(self, left: frozenset[str]) -> tuple[Turn, ...]:
        called, tools = {call.name for call in self.made}, self.in_view()
        for offer in self._lacking_before(called):
            (trial,) = await self._try_each([offer], tools, self._turns)
            if trial.call is None and self._links.tells(self._lacked(offer)):
                trial = next(iter(await self._insist([offer], self._with(tools, [offer]))), trial)
            if trial.is_grounded and trial.is_linked and not trial.guessed:
                return trial.turns
            self._lacking = self._lacking or (trial.unnamed if offer is self._offers[0] and offer.is_sought else ())
        if not left:
            return ()
        rest = self._asking(without_taken(self._query, self._named, left))
        said = Evidence.of((*rest, *self._turns[self._asked + 1 :]))
        offers = [replace(offer, narrowed=narrow(offer.tool, said, Evidence.of(rest))) for offer in self._offers]
        able = [offer for offer in offers if offer.is_able]
        is_list = list_further(self._query, self._named, left)
        again = [offer for offer in able if is_list and offer.tool.name in called]
        words = set(split_terms(self._query))
        near = [offer for offer in able if offer.score >= _NEAR and offer.tool.name not in called]
        fresh = [each for each in near if (each.is_meant or describes(each.tool, words)) and is_meant(each.tool, words)]
        for offers, turns in (
            (fresh[:_IN_VIEW], rest),
            (fresh[:_IN_VIEW], (*rest, *self._turns[self._asked + 1 :])),
            (again, rest),
        ):
            tried = await self._try_each(offers, tools, turns)
            good = [each for each in tried if each.is_grounded and each.taken & left and each.call not in self.made]
            if good:
                return max(good, key=lambda trial: (len(trial.taken & left), trial.worth)).turns
        return ()

    def _lacking_before(self, called: Set[str]) -> list[Offer]:
        """Tools that may have lacked what an observation told: the likeliest, and others that the request names."""
        words, (goal, *others) = set(split_terms(self._query)), self._offers
        unmet = words - self._covered(called)
        named = [
            each
            for each in others
            if (each.is_sought and describes(each.tool, words))
            or (len(called) == 1 and describes(each.tool, unmet) and self._links.tells(self._lacked(each)))
        ]
        chosen = any(each.is_chosen and each.tool.name in called for each in others)
        is_done = not self._left(self._made_values()) and not mentions(goal.tool, unmet)
        served = chosen and not goal.is_chosen and is_done
        able = [*([goal] if goal.score and not served else ()), *named[:_TELLERS]]
        return [each for each in able if each.is_able and each.tool.name not in called and is_meant(each.tool, words)]

    def _lacked(self, offer: Offer) -> tuple[str, ...]:
        """Arguments that a tool lacked before anything was told."""
        return narrow(offer.tool, self._before).missing

    def _covered(self, called: Set[str]) -> set[str]:
        """Words of the tools that were called, and of the fields that they told."""
        made = [tool for tool in self._task.tools if tool.name in called]
        texts = [f"{tool.name} {tool.description}" for tool in made]
        return {*self._links.terms, *(term for text in texts for term in split_terms(text))}

    def _left(self, made: Iterable[Mapping[str, Json]]) -> frozenset[str]:
        """What was named in the request and taken up by no call."""
        used = frozenset[str]().union(*(taken_up(self._named, values) for values in made))
        terms = {term for call in self.made for term in split_terms(call.name)}
        left = frozenset(mention.text for mention in self._named) - used
        return frozenset(text for text in left if not set(split_terms(text)) <= terms)

    # --- trials -----------------------------------------------------------------------------------------------

    async def _try_each(
        self, offers: Sequence[Offer], tools: tuple[ToolSpec, ...], turns: tuple[Turn, ...]
    ) -> list[Trial]:
        """Let the planner begin with each of several tools."""
        return [*await asyncio.gather(*(self._try(offer, tools, turns) for offer in offers))]

    async def _try(self, offer: Offer, tools: tuple[ToolSpec, ...], turns: tuple[Turn, ...]) -> Trial:
        plan = await self._plan(tools, turns, begun=offer.tool.name)
        found = await self._call_as_said(plan, offer.narrowed.spec, turns, tools) if _calls(plan) else None
        return found or Trial(offer=offer, plan=plan)

    async def _read_plan(
        self, plan: Plan, tools: tuple[ToolSpec, ...], turns: tuple[Turn, ...], *, is_picked: bool = False
    ) -> Trial | None:
        """The call of a plan; None where it calls nothing that can be read."""
        if not _calls(plan):
            return None
        specs = {offer.tool.name: offer.narrowed.spec for offer in self._offers}
        trial = await self._call(plan, tuple(specs[tool.name] for tool in tools), turns, tools)
        if trial is not None and any(map(self._said.is_put_together, trial.values.values())):
            trial = await self._call_as_said(plan, trial.offer.narrowed.spec, turns, tools) or trial
        return None if trial is None else replace(trial, is_picked=is_picked)

    async def _plan(self, tools: tuple[ToolSpec, ...], turns: tuple[Turn, ...], begun: str = "") -> Plan:
        planner, form = self._agent.role_models[Role.PLANNER], self._agent.format
        lead = form.write(Role.PLANNER, (Plan(thought=begun, decision=Decision.NONE),)) if begun else ""
        task = replace(self._task, tools=tools)
        proposal = await planner.complete_turn(Role.PLANNER, form, task, turns, begun=lead)
        self.usage += proposal.usage
        plan = next((turn for turn in proposal.turns if isinstance(turn, Plan)), None)
        return plan or Plan(thought="", decision=Decision.NONE)

    async def _call(
        self, plan: Plan, specs: tuple[ToolSpec, ...], turns: tuple[Turn, ...], tools: tuple[ToolSpec, ...]
    ) -> Trial | None:
        """Ask the caller, who reads `tools`, for a call of one of `specs`; None for one that cannot be read."""
        caller = self._agent.role_models[Role.CALLER]
        task = replace(self._task, tools=tools)
        proposal = await caller.complete_turn(
            Role.CALLER, self._agent.format, task, (*turns, plan), held_to=replace(task, tools=specs)
        )
        self.usage += proposal.usage
        call = next((turn for turn in proposal.turns if isinstance(turn, Call)), None)
        offer = next((offer for offer in self._offers if call is not None and offer.tool.name == call.name), None)
        return None if call is None or offer is None else self._read(offer, plan, call)

    async def _call_as_said(
        self, plan: Plan, spec: ToolSpec, turns: tuple[Turn, ...], tools: tuple[ToolSpec, ...]
    ) -> Trial | None:
        """Ask for a call; once more, of words as they were said, where its values were put together."""
        trial = await self._call(plan, (spec,), turns, tools)
        mixed = [name for name, value in (trial.values if trial else {}).items() if self._said.is_put_together(value)]
        wanted = as_said(spec, mixed, Evidence.of(turns))
        if trial is None or wanted is None:
            return trial
        again = await self._call(plan, (wanted,), turns, tools)
        return again if again is not None and again.is_grounded else trial

    def _read(self, offer: Offer, plan: Plan, call: Call) -> Trial | None:
        """The trial of a call, without optional arguments that the user did not name; None for one tried before."""
        values = read_arguments(offer.tool, call.arguments)
        if isinstance(values, Fault):
            return None
        mended = {name: self._said.mended(name, value, described(offer.tool, name)) for name, value in values.items()}
        values = self._said.apart(mended)
        values = self._said.without_unnamed_fields(offer.tool, values)
        unnamed = self._said.unnamed(offer.tool, values)
        unnamed += tuple(name for name in values if name not in unnamed and self._is_pointer(name, values[name]))
        asked, lacked = self._before.unnamed(offer.tool, values), narrow(offer.tool, self._before).missing
        unnamed += tuple(
            name
            for name in asked
            if name not in unnamed and name in values and not self._links.may_have(offer.tool, name, values[name])
        )
        kept = {name: value for name, value in values.items() if name in offer.required or name not in asked}
        call = replace(call, arguments=json.dumps(kept, ensure_ascii=False))
        if self._tried.include(call):
            return None
        guessed = [
            name
            for name, value in kept.items()
            if name in offer.required and name not in unnamed and not self._said.is_named(value, chosen=True)
        ]
        whole = {**defaults_of(offer.tool), **kept}
        return Trial(
            offer=offer,
            plan=plan,
            call=call,
            values=whole,
            given=frozenset(kept),
            unnamed=tuple(name for name in unnamed if name in offer.required),
            guessed=tuple(guessed),
            taken=taken_up(self._named, whole),
            is_linked=any(
                name in offer.required and name not in unnamed and (isinstance(kept[name], str) or name in lacked)
                for name in asked
            ),
        )

    def _is_pointer(self, name: str, value: Json) -> bool:
        """Test if a text names no thing: a tool, or another tool's identifier with its value, as in "member 4077"."""
        if not isinstance(value, str) or is_identifier(name):
            return False
        if any(value == tool.name for tool in self._task.tools) and value not in self._query:
            return True
        others = self._identified - {*split_terms(name)}
        codes = [each for each in self._said.mentions if each.kind is MentionKind.IDENTIFIER and each.text == value]
        found = _POINTER.fullmatch(value)
        return any(each.before in others for each in codes) or (found is not None and found[1].lower() in others)

    def _made_values(self) -> list[dict[str, Json]]:
        return [self._values(call) for call in self.made]

    def _values(self, call: Call) -> dict[str, Json]:
        """The arguments of a call, defaults too."""
        tool = next((tool for tool in self._task.tools if tool.name == call.name), None)
        values = {} if tool is None else read_arguments(tool, call.arguments)
        return {} if tool is None or isinstance(values, Fault) else {**defaults_of(tool), **values}


def _share(terms: Sequence[str], words: Set[str]) -> float:
    return sum(term in words for term in terms) / max(len(terms), 1)


def _without(schema: Json, value: Json) -> Json:
    """A schema without one of its choices, where it has others."""
    match schema:
        case {"enum": [*choices]} if value in choices and len(choices) > 1:
            return {**schema, "enum": [each for each in choices if each != value]}
        case _:
            return schema


def _calls(plan: Plan) -> bool:
    return plan.decision is Decision.CALL

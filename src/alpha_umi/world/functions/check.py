"""Check of the files of needs: whether every template fits its need, and whether there is enough of everything."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from alpha_umi.errors import DataError
from alpha_umi.world.functions.needs import (
    Chain,
    DomainNeeds,
    Effect,
    FunctionNeed,
    read_domain,
    slots_of,
)
from alpha_umi.world.functions.templates import Template
from alpha_umi.world.functions.values import Records

FEWEST_QUERIES, FEWEST_NAMES, FEWEST_DOCS, FEWEST_ANSWERS = 9, 4, 4, 3
FEWEST_OUTSIDE, FEWEST_CHAINS, FEWEST_CHAIN_QUERIES = 10, 3, 5


def find_faults(domain: DomainNeeds) -> Iterator[str]:
    """Every fault of a domain, as one line that names the need."""
    if len(domain.outside) < FEWEST_OUTSIDE:
        yield f"{len(domain.outside)} requests outside; at least {FEWEST_OUTSIDE}"
    if len(domain.chains) < FEWEST_CHAINS:
        yield f"{len(domain.chains)} chains; at least {FEWEST_CHAINS}"
    for need in domain.needs.values():
        yield from (f"need {need.id!r}: {fault}" for fault in _need_faults(need))
        yield from (f"need {need.id!r}: {fault}" for fault in _store_faults(domain, need))
    for chain in domain.chains:
        yield from (f"chain {list(chain.steps)}: {fault}" for fault in _chain_faults(domain, chain))


def required_slots(need: FunctionNeed) -> set[str]:
    """Slots that every query of a need holds."""
    required = [parameter for parameter in need.parameters.values() if parameter.required]
    return {name for name, parameter in slots_of(required).items() if parameter.required}


def _need_faults(need: FunctionNeed) -> Iterator[str]:
    for what, found, fewest in (
        ("queries", need.queries, FEWEST_QUERIES),
        ("names", set(need.names), FEWEST_NAMES),
        ("docs", set(need.docs), FEWEST_DOCS),
        ("answers", need.answers, FEWEST_ANSWERS),
        ("results", need.results, 1),
    ):
        if len(found) < fewest:
            yield f"{len(found)} {what}; at least {fewest}"
    slots, required = set(slots_of(need.parameters.values())), required_slots(need)
    for template in need.queries:
        yield from _query_faults(template, slots, required)
    for name, templates in need.missing.items():
        left_out = {slot for slot in required if slot == name or slot.startswith(f"{name}.")}
        if not left_out:
            yield f"missing.{name}: no required parameter"
        for template in templates:
            yield from _query_faults(template, slots - left_out, required - left_out)
    for template in need.several:
        if len(template.several) != 1:
            yield f"{template.text!r}: exactly one slot takes several values, as {{name*}}"
        yield from _query_faults(template, slots, required)
    for name in slots - required:
        if sum(name in template.optional for template in need.queries) < 2:
            yield f"option {name!r} stands in fewer than 2 queries"
    yield from _answer_faults(need.answers, set(need.results), slots)


def _query_faults(template: Template, slots: set[str], required: set[str]) -> Iterator[str]:
    held = template.required | template.optional
    if held - slots:
        yield f"{template.text!r}: unknown slots {sorted(held - slots)}"
    if required - template.required:
        yield f"{template.text!r}: lacks {sorted(required - template.required)}"
    if template.required - required:
        yield f"{template.text!r}: options stand in [..]: {sorted(template.required - required)}"


def _answer_faults(answers: Iterable[Template], results: set[str], known: set[str]) -> Iterator[str]:
    used = {frozenset(template.required & results) for template in answers}
    if len(used) > 1:
        yield f"answers use different results: {sorted(map(sorted, used))}"
    if not any(used):
        yield "answers use no result"
    for template in answers:
        if template.required - results - known:
            yield f"{template.text!r}: unknown slots {sorted(template.required - results - known)}"


def _store_faults(domain: DomainNeeds, need: FunctionNeed) -> Iterator[str]:
    records = any(isinstance(kind, Records) for kind in need.results.values())
    if not need.store:
        if need.key or records:
            yield "a key or records without a store"
        return
    owners = need.results if need.effect is Effect.CREATE else need.parameters
    if need.key and need.key not in owners:
        yield f"key {need.key!r} is no {'result' if need.effect is Effect.CREATE else 'parameter'}"
    if not need.key and not (need.effect is Effect.READ and records):
        yield "a store without a key, and no reading of its records"
    if sum(other.store == need.store for other in domain.needs.values()) < 2:
        yield f"store {need.store!r} is used by one need alone"


def _chain_faults(domain: DomainNeeds, chain: Chain) -> Iterator[str]:
    unknown = [need for need in chain.steps.values() if need not in domain.needs]
    if unknown:
        yield f"unknown needs {unknown}"
        return
    needs = {step: domain.needs[need] for step, need in chain.steps.items()}
    slots = {f"{step}.{name}" for step, need in needs.items() for name in slots_of(need.parameters.values())}
    required = {f"{step}.{name}" for step, need in needs.items() for name in required_slots(need)}
    results = {f"{step}.{name}" for step, need in needs.items() for name in need.results}
    if not chain.link:
        yield "no link"
    for target, source in chain.link.items():
        if target not in slots or source not in results:
            yield f"link {target} = {source}: no such parameter or result"
    if len(chain.queries) < FEWEST_CHAIN_QUERIES:
        yield f"{len(chain.queries)} queries; at least {FEWEST_CHAIN_QUERIES}"
    slots -= set(chain.link)
    required -= set(chain.link)
    for texts in chain.queries:
        if len(texts) not in (1, len(needs)):
            yield f"{texts[0].text!r}: {len(texts)} texts for {len(needs)} steps; one, or one for each"
        held = frozenset[str]().union(*(template.required for template in texts))
        optional = frozenset[str]().union(*(template.optional for template in texts))
        for fault, names in (
            ("unknown or linked slots", (held | optional) - slots),
            ("lacks", required - held),
            ("options stand in [..]:", held - required),
        ):
            if names:
                yield f"{texts[0].text!r}: {fault} {sorted(names)}"
    yield from _answer_faults(chain.answers, results, slots)


def main(paths: list[str]) -> int:
    """Write the faults of the files to stdout. Returns the exit code: 1 where there are any."""
    faults = 0
    for path in paths:
        try:
            domain = read_domain(Path(path))
            lines = [f"{path}: {fault}" for fault in find_faults(domain)]
            summary = f"{path}: {len(domain.needs)} needs, {len(domain.chains)} chains, {len(lines)} faults"
        except DataError as error:
            lines, summary = [str(error)], f"{path}: not read"
        faults += len(lines)
        sys.stdout.writelines(f"{line}\n" for line in (*lines, summary))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

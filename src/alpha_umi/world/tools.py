"""Tools: a provider's names for the arguments and results of a need.

A tool is a pure function of (facts, arguments). Outages are not known here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from alpha_umi.arguments import Fault, read_arguments
from alpha_umi.types import Json, Observation, ToolSpec, ToolStatus
from alpha_umi.world.facts import Facts
from alpha_umi.world.needs import Need, Refusal, Values


class Seen(StrEnum):
    """Use of a tool in training tasks."""

    YES = "yes"
    NO = "no"
    """Held out, while other tools of its category are not."""
    NO_CATEGORY = "no_category"
    """Its whole category is held out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A tool's place in ToolBench's tool JSON."""

    tool: str = ""
    """The name of the JSON's tool, that is of the provider."""
    api: str = ""
    entry: Mapping[str, Json] = field(default_factory=dict[str, Json])
    """Its entry of the `api_list`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One API of a provider: a need with its arguments and results renamed."""

    spec: ToolSpec
    category: str
    provider: str
    served_need: Need
    arguments: Mapping[str, str]
    """Canonical input -> this provider's name for it, in the order of the schema. Inputs under one name are joined."""
    results: Mapping[str, str]
    """Canonical output -> this provider's key."""
    seen: Seen
    codes: Mapping[str, Mapping[str, Json]] = field(default_factory=dict[str, Mapping[str, Json]])
    """Canonical input -> canonical value -> how this provider writes it; other values stand as they are."""
    separator: str = ""
    """Text between inputs that are joined."""
    document: Document = field(default_factory=Document)
    wrapped: str = ""
    """The key under which results lie; empty: on top. "key[]": as the only one of a list."""

    @property
    def need(self) -> str:
        """Name of the need that it serves."""
        return self.served_need.name

    def run(self, facts: Facts, arguments: str) -> Observation:
        """Execute the tool with arguments as JSON text; total over all strings."""
        given = read_arguments(self.spec, arguments)
        if isinstance(given, Fault):
            return Observation(content=given.reason, status=ToolStatus.BAD_ARGUMENTS)
        inputs = self.inputs(given)
        if isinstance(inputs, Refusal):
            return self._refuse(inputs)
        found = self.served_need.answer(facts, inputs)
        if isinstance(found, Refusal):
            return self._refuse(found)
        return Observation(content=json.dumps(self._wrap({own: found[name] for name, own in self.results.items()})))

    def inputs(self, arguments: Values) -> dict[str, Json] | Refusal:
        """The canonical inputs of well-formed arguments."""
        read: dict[str, Json] = {}
        for own, value in arguments.items():
            names = [name for name, written in self.arguments.items() if written == own]
            parts: list[Json] = [value]
            if len(names) > 1:
                parts = [*str(value).split(self.separator)]
            if len(parts) != len(names):
                return Refusal(input=names[0], reason=f"{value} is not of the form {self.separator.join(names)}")
            for name, part in zip(names, parts, strict=True):
                meant = [known for known, written in self.codes.get(name, {}).items() if written == part]
                if name in self.codes and not meant:
                    return Refusal(input=name, reason=f"{part} is unknown")
                read[name] = meant[0] if meant else part
        return read

    def write(self, inputs: Values) -> dict[str, Json]:
        """The arguments for canonical inputs, with defaults where this provider requires them."""
        required = self.spec.parameters["required"]
        must = set(required) if isinstance(required, list) else set[Json]()
        written: dict[str, Json] = {}
        for name, own in self.arguments.items():
            if name not in inputs and own not in must:
                continue
            value = inputs[name] if name in inputs else self.served_need.defaults[name]
            value = self.codes.get(name, {}).get(str(value), value)
            written[own] = f"{written[own]}{self.separator}{value}" if own in written else value
        return written

    def outputs(self, content: str) -> dict[str, Json] | None:
        """The canonical outputs in an OK observation of this tool; None where the reply is empty."""
        held: Json = json.loads(content)
        if self.wrapped:
            held = held.get(self.wrapped.removesuffix("[]")) if isinstance(held, dict) else None
        if self.wrapped.endswith("[]"):
            held = held[0] if isinstance(held, list) and held else None
        if not isinstance(held, dict) or not all(own in held for own in self.results.values()):
            return None
        return {name: held[own] for name, own in self.results.items()}

    def _wrap(self, results: dict[str, Json]) -> dict[str, Json]:
        if not self.wrapped:
            return results
        key = self.wrapped.removesuffix("[]")
        return {key: [results] if self.wrapped.endswith("[]") else results}

    def _refuse(self, refusal: Refusal) -> Observation:
        reason = f"argument '{self.arguments[refusal.input]}' is invalid: {refusal.reason}"
        return Observation(content=reason, status=ToolStatus.BAD_ARGUMENTS)


def read_renamings(names: str) -> dict[str, str]:
    """Read "own=canonical ..." as canonical -> own; equal names stand once."""
    pairs = [name.partition("=") for name in names.split()]
    return {canonical or own: own for own, _, canonical in pairs}

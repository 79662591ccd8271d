"""Tokenisation of trajectories, with the completion part, the loss weight and the adapter of every token.

What a trajectory is in tokens does not depend on how its losses are weighed or which adapter learns it, so
`Unit` is kept and `label` is applied to it later. Ids are those of formats.tokens, which live models use too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from alpha_umi.errors import FormatError
from alpha_umi.formats.fit import Window
from alpha_umi.formats.rendering import render
from alpha_umi.formats.tokens import PromptIds, Tokenizer, completion_parts, end_ids
from alpha_umi.protocols import Format
from alpha_umi.training.data.examples import FittedTarget, fitted_targets
from alpha_umi.training.data.packing import WeightedExample
from alpha_umi.types import Part, Role, Trajectory

_CODES = {part: code for code, part in enumerate(Part)}
_END = len(_CODES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Relative loss weights of the parts of a completion; see types.Part."""

    thought: float = 1.0
    decision: float = 1.0
    name: float = 1.0
    arguments: float = 1.0
    answer: float = 1.0
    mark: float = 1.0
    end: float = 1.0
    """Weight of the end mark: not a `mark`, since a model that does not learn it never stops."""
    divide_by: Literal["tokens"] | None = None
    """Divisor of a summed loss: the number of tokens that have a weight. None: the sum of their weights."""

    def divisor(self, weights: Sequence[float] | NDArray[np.float32]) -> float:
        """Divisor of the summed loss of tokens with these weights."""
        values = np.asarray(weights)
        return float(np.count_nonzero(values) if self.divide_by == "tokens" else np.sum(values, dtype=np.float64))


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterAssignment:
    """Assignment of tokens to the adapters that learn them."""

    numbers: Mapping[Role, int]
    """The number of each role's adapter."""
    from_role_token: bool = False
    """True: an adapter acts from the last token of the prompt on (activated LoRA); False: on the whole example."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TokenizedExample:
    """Example as token ids."""

    role: Role
    number: int
    """Its place among the targets of its trajectory, all roles that are learned together counted."""
    ids: NDArray[np.int32]
    """[n], the prompt and then the completion with its end mark."""
    parts: NDArray[np.uint8]
    """[c], what each id of the completion is, as a code."""
    cut: bool = False
    """True: turns of its prompt were cut to fit."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TokenizedTrajectory:
    """Tokenized examples of one trajectory."""

    id: str
    """Id of its task."""
    targets: int
    """Examples that there would be without a limit."""
    examples: tuple[TokenizedExample, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Length limits, in tokens."""

    prompt: int
    """Longer prompts are cut by the rule of formats.fit."""
    example: int
    """A longer example is left out."""


class Tokeniser:
    """Tokenizer of trajectories, for roles that are learned together."""

    def __init__(self, tokenizer: Tokenizer, format: Format, roles: Sequence[Role], lengths: Lengths) -> None:  # noqa: A002
        self.tokenizer = tokenizer
        self.roles = tuple(roles)
        self.lengths = lengths
        self._format = format
        self._ids = PromptIds(tokenizer, format.special_tokens)
        self._window = Window(limit=lengths.prompt, count=lambda prompt: len(self._ids(prompt)))

    def __reduce__(self) -> tuple[type[Tokeniser], tuple[Tokenizer, Format, tuple[Role, ...], Lengths]]:
        return Tokeniser, (self.tokenizer, self._format, self.roles, self.lengths)

    def __call__(self, trajectory: Trajectory) -> TokenizedTrajectory:
        """Tokenise a trajectory. Raises FormatError for a prompt without a token, from which nothing could be
        predicted."""
        targets = [(role, fitted) for role in self.roles for fitted in self._sights(trajectory, role)]
        found = (self._sequence(trajectory, role, fitted, number) for number, (role, fitted) in enumerate(targets))
        return TokenizedTrajectory(
            id=trajectory.task.id,
            targets=len(targets),
            examples=tuple(example for example in found if example is not None),
        )

    def _sights(self, trajectory: Trajectory, role: Role) -> Iterator[FittedTarget]:
        return fitted_targets(trajectory, role, self._format, self._window)

    def _sequence(
        self, trajectory: Trajectory, role: Role, fitted: FittedTarget, number: int
    ) -> TokenizedExample | None:
        if fitted.turns is None:
            return None
        prompt = self._ids(render(self._format, role, trajectory.task, fitted.turns))
        ids, parts = completion_parts(self.tokenizer, self._format.spans(role, fitted.target.said))
        ids.append(end_ids(self.tokenizer, self._format.end)[0])
        if len(prompt) + len(ids) > self.lengths.example:
            return None
        if not prompt:
            raise FormatError(
                f"task {trajectory.task.id!r}: the {role.value}'s prompt in format {self._format.name!r} is empty and "
                "the tokenizer has no BOS to put there: nothing can predict the first token of a completion"
            )
        return TokenizedExample(
            role=role,
            number=number,
            ids=np.array([*prompt, *ids], dtype=np.int32),
            parts=part_codes(parts),
            cut=fitted.cut,
        )


def part_codes(parts: Sequence[Part]) -> NDArray[np.uint8]:
    """Part codes of the ids of a completion and of its end mark, [n + 1]."""
    return np.array([*(_CODES[part] for part in parts), _END], dtype=np.uint8)


def label(example: TokenizedExample, weights: Weights, tagging: AdapterAssignment | None = None) -> WeightedExample:
    """Label an example with the loss weight and the adapter of every token."""
    table = np.array([*(getattr(weights, part.value) for part in Part), weights.end], dtype=np.float32)
    prompt = len(example.ids) - len(example.parts)
    weighed = np.zeros(len(example.ids), dtype=np.float32)
    weighed[prompt:] = table[example.parts]
    adapters = np.zeros(len(example.ids), dtype=np.int8)
    if tagging is not None:
        adapters[prompt - 1 if tagging.from_role_token else 0 :] = tagging.numbers.get(example.role, 0)
    return WeightedExample(
        ids=cast("Sequence[int]", example.ids),
        weights=cast("Sequence[float]", weighed),
        adapters=None if tagging is None else cast("Sequence[int]", adapters),
    )

"""Rejection sampling of rollouts: verified trajectories, and preference pairs from what their searches tried.

A rollout's own verdict counts; tasks of the sealed world are verified again, on every branch; other rollouts are looked
up in a run of `umi judge pass`. Nothing is written unless all can be read.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from alpha_umi.errors import ConfigError, DataError
from alpha_umi.judging.files import read_verdicts
from alpha_umi.judging.verdicts import Outcome, PassVerdict
from alpha_umi.preparation.pairs import Pair, find_choices, make_pairs, without_hints
from alpha_umi.protocols import Format
from alpha_umi.rollouts.runner import Rollout, read_rollouts
from alpha_umi.search import Node
from alpha_umi.store import dump_line, encode_trajectory, write_text
from alpha_umi.types import Json, Role, StopReason, ToolPrompt, Trajectory
from alpha_umi.world.oracle_agent import world_of

_OUTCOMES = {Outcome.PASSED: True, Outcome.FAILED: False, Outcome.UNSURE: None}
_ENDS = (StopReason.ANSWERED, StopReason.GAVE_UP)


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectionSamplingOptions:
    """Options of rejection sampling: runs, filters and output files."""

    runs: Sequence[Path]
    """Folders of rollouts, or their files."""
    out: Path
    pairs: Path | None = None
    everything: bool = False
    """Unverified trajectories, too; pairs are made of verified ones alone."""
    judged: Path | None = None
    """A run of `umi judge pass` over the same sets."""
    roles: Sequence[Role] = tuple(Role)
    """Whose pairs."""


@dataclass(slots=True, kw_only=True)
class RejectionSamplingResult:
    """Result: counts of trajectories and pairs, and the reasons of what was left out."""

    read: int = 0
    kept: int = 0
    skipped: Counter[str] = field(default_factory=Counter[str])
    """Number of rollouts without a trajectory, by reason."""
    pairs: Counter[Role] = field(default_factory=Counter[Role])


def rejection_sample(options: RejectionSamplingOptions, form: Format) -> RejectionSamplingResult:
    """Write what the runs give. Raises DataError where that is nothing, ConfigError for a format without text."""
    done = RejectionSamplingResult()
    trajectories, pairs = set[str](), set[str]()
    with ExitStack() as files:
        out = files.enter_context(write_text(options.out))
        beside = files.enter_context(write_text(options.pairs)) if options.pairs else None
        for known in _read(options):
            done.read += 1
            reason = _refusal(known, everything=options.everything)
            row = encode_trajectory(_plain(known.rollout.trajectory))
            if not reason and not _is_new(trajectories, row["task"], row["turns"]):
                reason = "the same as another"
            if reason:
                done.skipped[reason] += 1
            else:
                out.write(dump_line(row))
                done.kept += 1
            if beside is not None:
                _write_pairs(beside, known, form, options.roles, pairs, done)
        if not done.kept:
            raise DataError(f"{options.runs[0]}: {_nothing(done)}")
    return done


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """A rollout and what is known of its branches."""

    rollout: Rollout
    judged: bool | None
    """By a judge, of the best branch."""

    @property
    def verdict(self) -> bool | None:
        return self.verify(self.rollout.trajectory)

    def verify(self, trajectory: Trajectory) -> bool | None:
        task = trajectory.task
        if "world" in task.metadata:
            with suppress(DataError):  # of another version: what was said then still holds
                return world_of(task).verify(task, trajectory).passed
        if trajectory.turns != self.rollout.trajectory.turns:
            return None
        own = self.rollout.verdict
        return self.judged if own is None else bool(own.get("passed"))

    def verify_end(self, node: Node) -> bool | None:
        tree = self.rollout.tree
        return self.verify(Trajectory(task=tree.task, turns=tree.branch(node)))


def _read(options: RejectionSamplingOptions) -> Iterator[_Known]:
    judged: dict[str, Mapping[str, PassVerdict]] = {}
    for run in options.runs:
        for rollout in read_rollouts(run):
            verdict = None
            if options.judged is not None:
                if rollout.set not in judged:
                    judged[rollout.set] = read_verdicts(options.judged, rollout.set).passes
                found = judged[rollout.set].get(rollout.trajectory.task.id)
                verdict = found and _OUTCOMES[found.outcome]
            yield _Known(rollout=rollout, judged=verdict)


def _plain(trajectory: Trajectory) -> Trajectory:
    return replace(trajectory, turns=without_hints(trajectory.turns))


def _refusal(known: _Known, *, everything: bool) -> str:
    """Reason that a rollout gives no trajectory; empty where it gives one."""
    if known.rollout.trajectory.stop not in _ENDS:
        return "ended with an error" if known.rollout.error else "neither answered nor given up"
    verdict = known.verdict
    if everything or verdict:
        return ""
    return "not verified" if verdict is None else "not solved"


def _is_new(seen: set[str], *parts: Json) -> bool:
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    is_new = key not in seen
    seen.add(key)
    return is_new


def _nothing(done: RejectionSamplingResult) -> str:
    reasons = ", ".join(f"{count} {reason}" for reason, count in done.skipped.most_common())
    if not done.read:
        return "holds no rollout"
    more = "; name a run of 'umi judge pass' by --judged, or take --all" if done.skipped["not verified"] else ""
    return f"no trajectory among {done.read} rollouts: {reasons}{more}"


# --- pairs ------------------------------------------------------------------------------------------------


def _write_pairs(
    file: IO[str], known: _Known, form: Format, roles: Sequence[Role], seen: set[str], done: RejectionSamplingResult
) -> None:
    task = known.rollout.trajectory.task
    for choice in find_choices(known.rollout.tree, known.verify_end):
        for pair in make_pairs(task, choice, form, roles):
            row: dict[str, Json] = {**_write_pair(pair, form), "role": pair.role.value}
            if _is_new(seen, row):
                file.write(dump_line({**row, "task": task.id}))
                done.pairs[pair.role] += 1


def _write_pair(pair: Pair, form: Format) -> dict[str, Json]:
    """In TRL's shapes: texts, or messages where the format is a chat."""
    prompt = pair.prompt
    if isinstance(prompt, ToolPrompt):
        raise ConfigError(f"format {form.name!r} has no text to prefer; choose one that a model here is trained in")
    if isinstance(prompt, str):
        return {"prompt": prompt, "chosen": pair.chosen, "rejected": pair.rejected}
    return {
        "prompt": [{"role": message.role, "content": message.content} for message in prompt],
        "chosen": [{"role": "assistant", "content": pair.chosen}],
        "rejected": [{"role": "assistant", "content": pair.rejected}],
    }

"""Judging of exact answers by math-verify and by ToRA's rule, in the sandbox."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from alpha_umi.environments.sandbox.pool import Ending, ProgramLimits, SandboxPool

_PROGRAM = (Path(__file__).parent / "program.py").read_text(encoding="utf-8")
_BATCH = 20
_LIMITS = ProgramLimits(wall_s=1200.0, cpu_s=150, memory_bytes=2 << 30, output_bytes=1 << 20)
_MARK = "verdicts:"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactVerdict:
    """Verdicts on one answer; None: a judge took too long, or crashed."""

    math_verify: bool | None
    tora: bool | None


def judge_exact(
    pairs: Sequence[tuple[str, str]],
    pool: SandboxPool | None = None,
    on_progress: Callable[[int, int], object] | None = None,
    workers: int = 2,
) -> list[ExactVerdict]:
    """Judge (gold, answer) pairs, bare or LaTeX. Raises ConfigError where math-verify or the sandbox is missing."""
    sandbox = pool or SandboxPool(workers)
    batches = [pairs[start : start + _BATCH] for start in range(0, len(pairs), _BATCH)]
    verdicts: list[ExactVerdict] = []
    try:
        with ThreadPoolExecutor(workers) as threads:
            for judged in threads.map(lambda batch: list(_judge(batch, sandbox)), batches):
                verdicts += judged
                if on_progress is not None:
                    on_progress(len(verdicts), len(pairs))
    finally:
        if pool is None:
            sandbox.close()
    return verdicts


def _judge(batch: Sequence[tuple[str, str]], pool: SandboxPool) -> Iterator[ExactVerdict]:
    code = f"{_PROGRAM}\nimport json\nprint({_MARK!r} + json.dumps(judge({[tuple(pair) for pair in batch]!r})))"
    result = pool.run(code, limits=_LIMITS, library="math_verify")
    _, mark, document = result.output.rpartition(_MARK)
    if result.ending is Ending.OK and mark:
        for math_verify, tora in json.loads(document):
            yield ExactVerdict(math_verify=math_verify, tora=tora)
    elif len(batch) == 1:
        yield ExactVerdict(math_verify=None, tora=None)
    else:  # one of them ended the program
        for pair in batch:
            yield from _judge([pair], pool)

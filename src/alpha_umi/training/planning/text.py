"""Text of a plan: three tables and the assumptions that they rest on."""

from __future__ import annotations

from collections.abc import Iterator

from alpha_umi.report.tables import plain_table
from alpha_umi.training.planning.estimate import GIB, Machine, Plan, StagePlan

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_THOUSAND, _MILLION, _BILLION = 10**3, 10**6, 10**9


def plan_text(plan: Plan) -> str:
    """Text that `umi train --plan` prints."""
    return "\n".join([*_model(plan), "", *_tokens(plan), "", *_memory(plan), "", *_ending(plan)])


def _model(plan: Plan) -> Iterator[str]:
    config, machine = plan.config, plan.machine
    learned = "all weights" if config.adapter.kind == "none" else f"{config.adapter.kind} adapters for the roles"
    yield (
        f"{config.method}: {_number(plan.stages[0].parameters)} parameters, {learned}; "
        f"{machine.world_size} device(s), layout {config.layout}"
    )
    yield f"computed in {str(plan.precision.dtype).removeprefix('torch.')}: {plan.precision.reason}"
    sampled, of = (max(getattr(stage.counts, name) for stage in plan.stages) for name in ("sampled", "of"))
    if sampled < of:
        margin = max(stage.counts.margin for stage in plan.stages)
        yield f"tokens: from {sampled:,} of {of:,} trajectories, within {margin:.1%} (95 % interval)"
    else:
        yield f"tokens: counted in all {of:,} trajectories"


def _tokens(plan: Plan) -> Iterator[str]:
    columns = (
        "stage",
        "examples",
        "trees",
        "steps",
        "tokens computed",
        "as rows",
        "as published",
        "parameters",
        "time",
    )
    rows: list[list[str]] = []
    for stage in plan.stages:
        total, epochs = stage.counts.total, stage.epochs
        rows.append(
            [
                stage.step.name,
                f"{round(total.examples * epochs):,}",
                f"{round(total.trees * epochs):,}",
                f"{stage.optimizer_steps:,}",
                _number(stage.tokens),
                _against(total.row_tokens * epochs, stage.tokens),
                _against(total.padded_tokens * epochs, stage.tokens),
                f"{_number(stage.learned)} learned",
                _time(stage.seconds),
            ]
        )
    yield plain_table(columns, rows)


def _memory(plan: Plan) -> Iterator[str]:
    checkpointed = plan.config.gradient_checkpointing
    other = f"{'without' if checkpointed else 'with'} gradient checkpointing"
    columns = ("GiB per device", "weights", "gradients", "optimizer", "gathered", "a pass", "on CPU", "total", other)
    rows: list[list[str]] = []
    for stage in plan.stages:
        memory = stage.memory
        parts = (memory.weights, memory.gradients, memory.optimizer, memory.gathered, memory.activations)
        sizes = [*parts, -memory.offloaded, memory.total, plan.memory_otherwise(stage).total]
        rows.append([stage.step.name, *(f"{size / GIB:.2f}" if size else "-" for size in sizes)])
    yield plain_table(columns, rows)
    passes = sorted({stage.pass_tokens for stage in plan.stages})
    yield f"a pass: at most {' or '.join(f'{tokens:,}' for tokens in passes)} tokens, logits only where there is loss"


def _ending(plan: Plan) -> Iterator[str]:
    largest = max(stage.checkpoint for stage in plan.stages)
    yield f"on disk: {plan.disk / GIB:.1f} GiB at the fullest, of it two checkpoints of {largest / GIB:.1f}"
    tokens = sum(stage.tokens for stage in plan.stages)
    rows, padded = (
        sum(getattr(stage.counts.total, name) * stage.epochs for stage in plan.stages)
        for name in ("row_tokens", "padded_tokens")
    )
    yield (
        f"in all: {_number(tokens)} tokens; rows alone would be {_against(rows, tokens)}, "
        f"rows padded to {plan.config.max_length:,} as published {_against(padded, tokens)}"
    )
    yield _rate(plan.machine) + (f": {_time(plan.seconds)}" if plan.seconds is not None else "")
    if plan.usable is not None:
        worst: StagePlan = max(plan.stages, key=lambda stage: stage.memory.total)
        fits = "fits" if worst.memory.total <= plan.usable else "does NOT fit"
        yield (
            f"{fits}: {worst.memory.total / GIB:.1f} GiB are needed, "
            f"{plan.usable / GIB:.1f} of {(plan.machine.memory or 0) / GIB:.1f} can be used"
        )


def _rate(machine: Machine) -> str:
    if machine.tokens_per_second is not None:
        return f"time at {machine.tokens_per_second:,.0f} tokens/s per device"
    if machine.flops is not None:
        return f"time at {machine.utilisation:.0%} of {machine.flops / 1e12:,.0f} TFLOP/s per device"
    return "time: not known; give a rate of tokens per second, or the floating-point operations of a device"


def _against(tokens: float, ours: int) -> str:
    return f"{tokens / max(1, ours):.2f}x"


def _number(count: float) -> str:
    for size, unit in ((_BILLION, "B"), (_MILLION, "M"), (_THOUSAND, "k")):
        if count >= size:
            return f"{count / size:.2f}{unit}"
    return f"{count:,.0f}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for size, unit in ((_DAY, "days"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"

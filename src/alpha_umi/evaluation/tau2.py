"""Report of tau2-bench's domains: end states with intervals, beside an agent that does nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alpha_umi.evaluation.metrics import INTERVALS, Metric, mean
from alpha_umi.report.tables import markdown_table
from alpha_umi.types import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class EndState:
    """Check of one task."""

    id: str
    domain: str
    right: bool
    """True: the database is as after the golden actions."""
    right_without: bool
    """True: so it is where nothing is done."""
    told: bool
    """True: the answers hold what the task wants told; with nothing of the kind, too."""

    def to_json(self) -> dict[str, Json]:
        """JSON object of the check."""
        return {"id": self.id, "right": self.right, "right_without": self.right_without, "told": self.told}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tau2Report:
    """Fractions of right end states by domain."""

    checks: Sequence[EndState]

    @property
    def domains(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each.domain for each in self.checks))

    def figures(self, domain: str) -> dict[str, Metric]:
        """Fractions of a domain; `changing`: of the tasks that want something changed."""
        checks = [each for each in self.checks if each.domain == domain]
        changing = [each for each in checks if not each.right_without]
        return {
            "right": mean([float(each.right) for each in checks]),
            "right and told": mean([float(each.right and each.told) for each in checks]),
            "changing": mean([float(each.right) for each in changing]),
            "nothing done": mean([float(each.right_without) for each in checks]),
        }

    def to_json(self) -> dict[str, Json]:
        """JSON object of the figures and of every task."""
        domains: dict[str, Json] = {}
        for domain in self.domains:
            figures: dict[str, Json] = {
                key: {"value": each.value, "low": each.low, "high": each.high, "count": each.count}
                for key, each in self.figures(domain).items()
            }
            tasks: list[Json] = [each.to_json() for each in self.checks if each.domain == domain]
            domains[domain] = {"figures": figures, "tasks": tasks}
        return {"domains": domains}

    def to_markdown(self) -> str:
        """Table of the domains."""
        rows: list[list[str]] = []
        for domain in self.domains:
            figures = self.figures(domain)
            counts = [f"{figures['right'].count:,}", f"{figures['changing'].count:,}"]
            order = ("right", "changing", "right and told", "nothing done")
            rows.append([domain, *counts, *(figures[key].percent for key in order)])
        head = [
            "domain",
            "tasks",
            "that want a change",
            "right end state",
            "of those that want a change",
            "and told",
            "an agent that does nothing",
        ]
        return (
            f"{markdown_table(head, rows)}\n\nPercent, {INTERVALS}. The user is scripted, so these are no figures of "
            "tau2-bench's leaderboard.\n"
        )

"""Text of a study as Markdown: tables like the paper's 1 and 2, costs, data scaling. Pure; it computes no result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from alpha_umi.report.tables import markdown_table
from alpha_umi.study.results import ALL, STATIC

Results = Mapping[str, Any]
_NONE = "-"
GROUPS = ("in-domain", "unseen")
"""Of steps, in the tables."""


def results_text(results: Results, pictures: Sequence[tuple[str, str]] = ()) -> str:
    """Write the results as Markdown. `pictures`: a title and a path beside the text for each figure."""
    parts = [*_head(results), *_static(results), *_live(results), *_scaling(results), *_costs(results)]
    parts += [f"![{title}]({path})" for title, path in pictures]
    return "\n\n".join(parts) + "\n"


def _head(results: Results) -> Iterator[str]:
    config = results["config"]
    seeds, world, cells = config["seeds"], config["world"], results["cells"]
    yield f"# Study: {results['study']}"
    yield (
        f"World `{world['preset']}`, {world['train']:,} training tasks; {len(seeds)} seed(s); per variant "
        f"{config['budget']['tokens']:,} training tokens, counted with every example in a row of its own. Percent with "
        "95 % intervals of another draw of tasks (bootstrap over tasks, each with all its steps; Wilson's where each "
        "task is one score of 0 or 1); what is measured on one step or task is first averaged over the seeds."
    )
    yield from _limited(config)
    yield f"All cells together took {results['seconds'] / 60:,.0f} minutes, one process each."
    if cells["missing"]:
        missing = ", ".join(cells["missing"])
        yield f"**Not whole: {len(cells['missing'])} of {cells['all']} cells are missing ({missing}).**"
    yield from (f"**{note}**" for note in results["notes"])


def _limited(config: Mapping[str, Any]) -> Iterator[str]:
    """The variants that are not measured from every base with every seed."""
    limited: dict[str, list[str]] = {}
    for variant in config["variants"].values():
        bases, seeds = variant.get("bases"), variant.get("seeds")
        words = [f"from {', '.join(bases)}"] if bases else []
        words += [f"with seed {', '.join(map(str, seeds))}"] if seeds else []
        if words:
            limited.setdefault(" ".join(words), []).append(variant["title"])
    for words, titles in limited.items():
        yield f"Only {words}: {'; '.join(titles)}."


def shown_titles(results: Results) -> dict[str, str]:
    """Return the titles of the variants in the tables, by name."""
    variants = results["config"]["variants"]
    return {name: variant["title"] for name, variant in variants.items() if variant.get("scales") is None}


def _several_seeds(results: Results) -> bool:
    return len(results["config"]["seeds"]) > 1


# --- as the paper's tables --------------------------------------------------------------------------------


def _static(results: Results) -> Iterator[str]:
    config, titles = results["config"]["static"], shown_titles(results)
    sets = dict(zip(GROUPS, (config["in_domain"], config.get("unseen", ())), strict=True))
    yield "## Static: every step after the reference's own history (the paper's table 1)"
    for group, names in sets.items():
        rows = [row for row in results["static"] if row["group"] == group and row["variant"] in titles]
        if rows:
            steps, tasks = (max(row["metrics"]["plan_accuracy"][what] for row in rows) for what in ("count", "tasks"))
            yield f"{group.capitalize()}: {', '.join(names)}, {steps} steps of {tasks} tasks."
            cells = [
                [row["base"], titles[row["variant"]], *(_interval(row["metrics"][name]) for name in STATIC)]
                for row in rows
            ]
            yield markdown_table(["base", "variant", *STATIC.values()], cells, left=range(2))
    yield from _against(results)
    if _several_seeds(results):
        rows = [row for row in results["static"] if row["group"] == "in-domain" and row["variant"] in titles]
        yield "In-domain by seed, lowest and highest."
        cells = [
            [row["base"], titles[row["variant"]], *(_range(row["metrics"][name]) for name in STATIC)] for row in rows
        ]
        yield markdown_table(["base", "variant", *STATIC.values()], cells, left=range(2))


def _against(results: Results) -> Iterator[str]:
    titles, baseline = shown_titles(results), results["config"]["baseline"]
    cells = [
        [
            row["base"],
            row["group"],
            titles[row["variant"]],
            *(_interval(row["against"][name], sign="+") for name in STATIC),
        ]
        for row in results["static"]
        if row["group"] in GROUPS and row["variant"] in titles and row["variant"] != baseline
    ]
    if cells:
        yield (
            f"Against {titles[baseline]}, same base and seeds, step by step: the mean difference in points. An "
            "interval without 0 is more than the choice of tasks explains; each is read for itself, and of so many "
            "some are so by chance."
        )
        yield markdown_table(["base", "steps", "variant", *STATIC.values()], cells, left=range(3))


def _live(results: Results) -> Iterator[str]:
    if not results["live"]:
        return
    config, titles = results["config"], shown_titles(results)
    sets, first = config["live"]["sets"], config["live"]["strategies"][0]
    yield "## Live: pass rate and win rate by the exact verifier (the paper's table 2)"
    yield (
        f"{config['live']['tasks']} tasks of each set. Win: against {titles[config['baseline']]} by {first}, same base "
        "and seed; who passes wins, of two that pass who needs fewer calls; a tie counts half."
    )
    found = {(row["base"], row["variant"], row["strategy"], row["set"]): row for row in results["live"]}
    cells: list[list[str]] = []
    for (base, variant, strategy, name), row in found.items():
        if name == ALL and variant in titles:
            each = [found[base, variant, strategy, one] for one in sets]
            itself = (variant, strategy) == (config["baseline"], first)
            by_set = [f"{_percent(one['pass'])} / {_NONE if itself else _percent(one['win'])}" for one in each]
            win = _NONE if itself else _interval(row["win"])
            spread = [_range(row["pass"])] if _several_seeds(results) else []
            cells.append([base, strategy, titles[variant], *by_set, _interval(row["pass"]), win, *spread])
    head = ["base", "by", "variant", *(f"{name}, pass / win" for name in sets), "pass, all", "win, all"]
    yield markdown_table([*head, *(["pass, by seed"] if _several_seeds(results) else [])], cells, left=range(3))
    yield from _errors(results)


def _errors(results: Results) -> Iterator[str]:
    for row in results["live"]:
        if row["set"] == ALL and row["errors"]:
            yield (
                f"**{row['base']}, {results['config']['variants'][row['variant']]['title']}, {row['strategy']}: "
                f"{len(row['errors'])} rollouts ended with an error and count as not passed, the first: "
                f"`{' '.join(row['errors'][0].split())}`. Without its cell.json the cell tries these again.**"
            )


# --- data and costs ---------------------------------------------------------------------------------------


def _scaling(results: Results) -> Iterator[str]:
    points = list(scaling_points(results))
    if not points:
        return
    yield "## Less data, the same budget"
    cells = [
        [
            point["base"],
            point["title"],
            f"{point['share']:g}",
            *(_interval(point["static"][name]) for name in STATIC),
            *(_interval(passed) for passed in point["live"].values()),
        ]
        for point in points
    ]
    live = [f"pass, {strategy}" for strategy in points[0]["live"]]
    yield markdown_table(["base", "variant", "share of the tasks", *STATIC.values(), *live], cells, left=range(2))


def scaling_points(results: Results) -> Iterator[dict[str, Any]]:
    """Yield the points of data scaling: in-domain metrics and pass rates of a variant at each fraction of the data."""
    variants = results["config"]["variants"]
    scaled = dict.fromkeys(variant["scales"] for variant in variants.values() if variant.get("scales"))
    for base in results["config"]["bases"]:
        for whole in scaled:
            family = [name for name, variant in variants.items() if whole in (name, variant.get("scales"))]
            points = [_point(results, base, name) for name in sorted(family, key=lambda one: _share(variants[one]))]
            found = [{"title": variants[whole]["title"], **point} for point in points if point is not None]
            yield from found if len(found) > 1 else ()


def _point(results: Results, base: str, name: str) -> dict[str, Any] | None:
    """A variant's in-domain metrics and pass rates; None where it was not measured."""
    for row in results["static"]:
        if (row["base"], row["variant"], row["group"]) == (base, name, "in-domain"):
            live = {
                one["strategy"]: one["pass"]
                for one in results["live"]
                if (one["base"], one["variant"], one["set"]) == (base, name, ALL)
            }
            share = _share(results["config"]["variants"][name])
            return {"base": base, "share": share, "static": row["metrics"], "live": live}
    return None


def _share(variant: Mapping[str, Any]) -> float:
    return variant.get("share", 1.0)


def _costs(results: Results) -> Iterator[str]:
    titles, baseline = shown_titles(results), results["config"]["baseline"]
    rows = [row for row in results["costs"] if row["variant"] in titles]
    if not rows:
        return
    yield "## Costs"
    yield (
        "Training tokens as the published way computes them (the budget), and as computed here, where what examples "
        "share is computed once; memory is what the plan of the largest stage says. Times are those of the machine "
        "with the study's other cells beside it. In brackets: times the baseline's."
    )
    base_rows = {row["base"]: row for row in rows if row["variant"] == baseline}
    cells: list[list[str]] = []
    for row in rows:
        to = base_rows.get(row["base"], {})
        shares = ", ".join(
            f"{name} {stage['row_tokens'] / row['row_tokens']:.0%}" for name, stage in row["stages"].items()
        )
        cells.append(
            [
                row["base"],
                titles[row["variant"]],
                *(_times(row[what] / scale, to.get(what), scale, digits) for what, scale, digits in _COSTS),
                shares,
            ]
        )
    head = ["base", "variant", "storage, MB", "memory, MB", "tokens, M", "computed, M", "updates", "seconds", "stages"]
    yield markdown_table(head, cells, left=range(2))
    for row in rows:
        if row["left_out"]:
            yield f"{row['base']}, {titles[row['variant']]}: {_number(row['left_out'])} examples were too long."
    live = [
        [row["base"], strategy, titles[row["variant"]], *(_number(used[what]) for what in _USED)]
        for row in rows
        for strategy, used in row["live"].items()
    ]
    if live:
        yield (
            "Per task, live: tokens of all prompts; of these, those that the engine computed (prefill), the others "
            "being in its cache (-: not known, as where rollouts were interrupted); tokens written (decode); "
            "completions."
        )
        yield markdown_table(
            ["base", "by", "variant", "prompts", "prefill", "decode", "completions"], live, left=range(3)
        )


_COSTS = (
    ("storage", 1e6, 1),
    ("memory", 1e6, 0),
    ("row_tokens", 1e6, 2),
    ("computed_tokens", 1e6, 2),
    ("steps", 1, 0),
    ("seconds", 1, 0),
)
_USED = ("read", "prefilled", "written", "completions")


def _times(value: float, baseline: float | None, scale: float, digits: int) -> str:
    shown = f"{value:,.{digits}f}"
    return f"{shown} ({value * scale / baseline:.2f})" if baseline else shown


# --- cells ------------------------------------------------------------------------------------------------


def _percent(metric: Mapping[str, Any]) -> str:
    return _NONE if metric["value"] is None else f"{100 * metric['value']:.1f}"


def _interval(metric: Mapping[str, Any], sign: str = "") -> str:
    """`sign` "+": a difference, which may be negative."""
    if metric["value"] is None:
        return _NONE
    value, low, high = (f"{100 * metric[end]:{sign}.1f}" for end in ("value", "low", "high"))
    return f"{value} ({low} to {high})" if sign else f"{value} ({low}-{high})"


def _range(metric: Mapping[str, Any]) -> str:
    values = [value for value in metric["seeds"].values() if value is not None]
    return f"{100 * min(values):.1f}-{100 * max(values):.1f}" if values else _NONE


def _number(value: float | None) -> str:
    return _NONE if value is None else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"

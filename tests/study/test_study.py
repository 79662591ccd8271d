"""Studies: what is wrong in a file, equal budgets, going on, and the report."""

import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_umi.config import TrainConfig
from alpha_umi.datasets.toolbench import HALLUCINATED
from alpha_umi.errors import ConfigError
from alpha_umi.evaluation.metrics import mean
from alpha_umi.loading.bundled import find_weights
from alpha_umi.store import read_json
from alpha_umi.study import budget, work
from alpha_umi.study.cells import STUDIES, Cell, cells, fingerprint, read_study, train_config
from alpha_umi.study.data import Data
from alpha_umi.study.provenance import is_done
from alpha_umi.study.results import _compared as compared_with
from alpha_umi.study.results import results
from alpha_umi.study.run import run_study
from alpha_umi.study.text import results_text
from alpha_umi.training.recipe import BASE, make_steps
from support.commands import ended, interrupt_when, left_in, start
from support.studies import STUDY, finish_all, measured, write_study

METHODS = ("glpft", "single", "one-stage", "multi-task", "glpft-without-reuse")


# --- files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(path.stem for path in STUDIES.glob("*.toml")))
def test_every_study_of_the_package_is_one_whose_variants_can_all_be_trained(name):
    config = read_study(name)
    runs = {cell: train_config(config, cell, Data(STUDIES, config), STUDIES) for cell in cells(config)}
    whole = [name for name, variant in config.variants.items() if variant.bases is None and variant.seeds is None]
    assert sum(cell.variant in whole for cell in runs) == len(config.seeds) * len(config.bases) * len(whole)
    assert {one.seed for one in runs.values()} == set(config.seeds)
    assert {one.method for one in runs.values()} == set(METHODS)
    assert {one.adapter.kind for one in runs.values()} == {"none", "lora", "alora"}
    for setting in ("max_length", "format", "layout", "max_input_tokens"):
        assert len({getattr(one, setting) for one in runs.values()}) == 1, setting


def test_the_whole_study_has_more_sizes_seeds_and_sets_than_the_quick_one():
    quick, full = read_study("quick"), read_study("full")
    assert len(full.bases) >= 2
    assert len(full.seeds) >= 3
    assert set(full.variants) > set(quick.variants)
    assert len(full.static.sets) == 6


def test_the_quick_study_is_a_part_of_the_one_with_two_sizes_and_is_not_measured_again(tmp_path):
    quick, more = read_study("quick"), read_study("two-sizes")
    assert set(cells(quick)) < set(cells(more))
    for cell in cells(quick):
        made = [fingerprint(one, cell, train_config(one, cell, Data(tmp_path, one), tmp_path)) for one in (quick, more)]
        assert made[0] == made[1]


@pytest.mark.parametrize(
    ("replaced", "said"),
    [
        ({"baseline": '"two"'}, "baseline 'two' is no variant; variants: one, three"),
        ({"seeds": "[1, 1]"}, "a seed stands there twice"),
        ({"tokens": "0"}, "tokens in [budget]"),
        ({"preset": '"tiny"\nsize = 3'}, "unknown key 'size' in [world]"),
        ({"recipe": '"tinny"'}, "no recipe 'tinny'"),
        ({"log_every": "1\nseed = 3"}, "'seed' is set by the study itself"),
        ({"log_every": "1\nlayers = 3"}, "variant 'one': unknown key 'layers'"),
        ({"title": '"x"\nscales = "four"'}, "scales 'four', which is no other variant"),
        ({"title": '"x"\nshare = 0.5\npreparation = "published"'}, "share: only of our preparation"),
        ({"hidden_size": "16\nbundled = 3"}, "unknown key 'bundled'"),
        ({"in_domain": '["test", "tests"]'}, "unknown world split 'tests'"),
        ({"sets": '["test", "tests"]'}, "unknown world split 'tests'"),
        ({"title": '"x"\nseeds = [3]'}, "variant 'one': seeds: 3 is not among those of the study: 0, 1"),
        ({"title": '"x"\nbases = ["big"]'}, "variant 'one': bases: 'big' is not among those of the study: nothing"),
    ],
)
def test_what_is_wrong_in_a_study_is_said_before_anything_runs(tmp_path, replaced, said):
    path = write_study(tmp_path, **replaced)
    with pytest.raises(ConfigError, match=r"^[^\n]*$") as raised:
        read_study(str(path))
    assert said in str(raised.value)


def test_a_study_that_does_not_exist_names_those_that_do():
    with pytest.raises(ConfigError, match="studies: full, quick, smollm2, two-sizes"):
        read_study("slow")


@pytest.mark.parametrize("base", ['bundled = "nobody"', 'base = "./nowhere"'])
def test_a_base_that_is_not_there_is_said_before_anything_runs(tmp_path, base):
    text = STUDY.split("[bases.nothing.tiny]")[0] + f"[bases.some]\n{base}\n[variants" + STUDY.split("[variants", 1)[1]
    config = read_study(str(write_study(tmp_path, text)))
    with pytest.raises(ConfigError, match="base 'some': "):
        run_study(config, tmp_path / "out", lambda _: None)
    assert not (tmp_path / "out").exists()


# --- budgets ----------------------------------------------------------------------------------------------


def steps_of(method, kind):
    document = {"data": {"train": "t"}, "model": {"tiny": {}}, "out": "o", "method": method, "adapter": {"kind": kind}}
    config = TrainConfig.model_validate(document)
    return config, make_steps(config)


@given(
    st.sampled_from(METHODS),
    st.sampled_from(["none", "lora", "alora"]),
    st.integers(1, 10**9),
    st.floats(0.01, 0.99),
    st.data(),
)
def test_whatever_its_stages_a_variant_spends_exactly_the_budget(method, kind, tokens, first, data):
    config, steps = steps_of(method, kind)
    rows = {step.name: data.draw(st.integers(1, 10**8)) for step in steps}
    epochs = budget.split(tokens, first, steps, rows)
    assert math.isclose(sum(epochs[step.name] * rows[step.name] for step in steps), tokens)
    beside = [{epochs[step.name] for step in steps if (step.starts_from == BASE) is begins} for begins in (True, False)]
    assert all(len(same) <= 1 for same in beside), "stages beside each other see their examples equally often"
    if all(beside):
        begun = sum(epochs[step.name] * rows[step.name] for step in steps if step.starts_from == BASE)
        assert math.isclose(begun, first * tokens)
    spending = make_steps(budget.spend(config, steps, epochs))
    assert {step.name: step.settings.epochs for step in spending} == epochs


def test_a_stage_without_examples_has_no_budget():
    _, steps = steps_of("glpft", "none")
    with pytest.raises(ConfigError, match="summarizer: no examples"):
        budget.split(100, 0.5, steps, {"backbone": 9, "planner": 5, "caller": 4, "summarizer": 0})


def test_a_variant_beyond_the_tolerance_is_refused():
    budget.check(1_030, 1_000, 0.03, "a/b/0")
    with pytest.raises(ConfigError, match=r"a/b/0: trained on 1,031 tokens .* \(\+3.1%\)"):
        budget.check(1_031, 1_000, 0.03, "a/b/0")


# --- going on ---------------------------------------------------------------------------------------------


def test_a_study_whose_cells_are_done_trains_nothing_and_writes_its_report(tmp_path):
    config, shown = finish_all(write_study(tmp_path), tmp_path / "out"), []
    report = run_study(config, tmp_path / "out", shown.append)
    assert [(one.what, one.at) for one in shown if one.ended and one.what != "data"] == [
        (cell.key, "done before") for cell in cells(config)
    ]
    assert not list((tmp_path / "out").rglob("run"))
    assert read_json(report / "results.json")["cells"] == {"all": 4, "missing": []}
    pictures = re.findall(r"!\[.+\]\((.+)\)", (report / "study.md").read_text())
    assert pictures == ["variants.svg"]
    assert "Three models" in (report / "variants.svg").read_text()


def test_a_cell_that_was_measured_otherwise_is_not_taken_for_done(tmp_path):
    finish_all(write_study(tmp_path), tmp_path / "out")
    cell = Cell(base="nothing", variant="three", seed=1)
    assert is_done(read_study(str(write_study(tmp_path, name='"other"'))), cell, tmp_path / "out")
    for changed in ({"tokens": "13_000"}, {"hidden_size": "32"}, {"max_steps": "3"}, {"hallucinated": "0.5"}):
        config = read_study(str(write_study(tmp_path, **changed)))
        with pytest.raises(ConfigError, match="other settings"):
            is_done(config, cell, tmp_path / "out")


def test_a_base_is_known_by_what_is_in_it_wherever_it_lies(tmp_path):
    text = (
        STUDY.split("[bases.nothing.tiny]")[0]
        + '[bases.some]\nbase = "BASE"\n[variants'
        + STUDY.split("[variants", 1)[1]
    )
    made = []
    for place, weights in (("here", "1"), ("there", "1"), ("here", "2")):
        base = tmp_path / place
        base.mkdir(exist_ok=True)
        (base / "model.safetensors").write_text(weights)
        (base / "notes.txt").write_text(place)
        config = read_study(str(write_study(tmp_path, text.replace("BASE", str(base)))))
        cell = next(iter(cells(config)))
        made.append(fingerprint(config, cell, train_config(config, cell, Data(tmp_path, config), tmp_path)))
    assert made[0] == made[1] != made[2]


def test_a_base_may_be_a_model_that_the_package_knows_by_its_name(tmp_path, monkeypatch):
    text = STUDY.split("[bases.nothing.tiny]")[0] + '[bases.some]\nbase = "umi-tiny/base"\n[variants'
    config = read_study(str(write_study(tmp_path, text + STUDY.split("[variants", 1)[1])))
    planned: list[TrainConfig] = []
    monkeypatch.setattr(work, "plan_training", lambda run, _: planned.append(run))
    with pytest.raises(AttributeError):
        work.run_cell(config, Cell(base="some", variant="one", seed=0), tmp_path / "out", lambda *_: None)
    assert planned[0].model.base == find_weights("umi-tiny/base") != "umi-tiny/base"


def test_a_variant_is_measured_from_the_bases_and_with_the_seeds_that_it_names(tmp_path):
    config = read_study(str(write_study(tmp_path, title='"x"\nseeds = [1]')))
    assert [cell.key for cell in cells(config)] == ["nothing/one/1", "nothing/three/1"]
    shown = results_text(results(config, [measured(config, cell, tmp_path) for cell in cells(config)]))
    assert "Only with seed 1: x; x." in shown
    assert "missing" not in shown


def test_data_that_is_there_is_not_written_again_and_other_data_is(tmp_path):
    config = read_study(str(write_study(tmp_path)))
    data, told = Data(tmp_path, config), []
    data.make(told.append)
    assert told
    assert HALLUCINATED not in data.training("ours").read_text()
    before = data.training("ours").stat().st_mtime_ns
    data.make(lambda at: pytest.fail(f"written again: {at}"))
    assert data.training("ours").stat().st_mtime_ns == before
    other = Data(tmp_path, read_study(str(write_study(tmp_path, hallucinated="1.0"))))
    other.make(told.append)
    assert HALLUCINATED in other.training("ours").read_text()


# --- the report -------------------------------------------------------------------------------------------


@pytest.fixture
def compared(tmp_path):
    """Two variants, two seeds: the baseline is right in one seed alone; the other always, with fewer calls."""
    config = read_study(str(write_study(tmp_path)))
    done = []
    for cell in cells(config):
        better = cell.variant == "three"
        right = 1.0 if better or cell.seed == 0 else 0.0
        done.append(measured(config, cell, tmp_path, right=right, passed=bool(right), calls=1 if better else 2))
    return config, done


def test_steps_are_averaged_over_seeds_before_anything_else(compared):
    found = results(*compared)
    [row] = [row for row in found["static"] if (row["variant"], row["group"]) == ("one", "in-domain")]
    metric = row["metrics"]["plan_accuracy"]
    assert (metric["value"], metric["count"], metric["seeds"]) == (0.5, 4, {"0": 1.0, "1": 0.0})
    assert metric["low"] < 0.5 < metric["high"]


def test_what_a_variant_is_better_by_is_told_step_by_step_with_an_interval(compared):
    config, done = compared
    for one in done:
        if (one["variant"], one["seed"]) == ("three", 1):
            steps = one["static"]["test"] = {key: dict(scores) for key, scores in one["static"]["test"].items()}
            steps["0/task-0/1"]["plan_accuracy"] = 0.0
    found = {(row["variant"], row["group"]): row["against"]["plan_accuracy"] for row in results(config, done)["static"]}
    better = found["three", "in-domain"]
    assert (better["value"], better["seeds"]) == (0.375, {"0": 0.0, "1": 0.75})
    assert -1 <= better["low"] < 0.375 < better["high"] <= 1
    assert found["one", "in-domain"]["value"] == 0
    assert "| nothing | in-domain | Three models | +37.5 (" in results_text(results(config, done))
    [alone] = [row for row in results(config, done[1:2])["static"] if row["group"] == "in-domain"]
    assert alone["against"]["plan_accuracy"]["value"] is None


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=8))
def test_a_difference_turned_round_is_its_negative_and_lies_in_its_interval(scores):
    keyed = [{str(at): pair[side] for at, pair in enumerate(scores)} for side in (0, 1)]
    there, back = compared_with({0: (keyed[0], keyed[1])}), compared_with({0: (keyed[1], keyed[0])})
    assert there["value"] == pytest.approx(-back["value"])
    assert -1 - 1e-9 <= there["low"] - 1e-9 <= there["value"] <= there["high"] + 1e-9 <= 1 + 1e-6


def test_the_steps_of_a_task_go_together_in_an_interval(compared):
    config, done = compared
    for one in done:
        steps = one["static"]["test"]
        if one["variant"] == "three":
            steps |= {"0/task-0/1": dict.fromkeys(steps["0/task-0/1"], 0.0)}
        one["static"]["unseen_tool"] = {f"{key[:-1]}{at}": scores for key, scores in steps.items() for at in range(9)}
    rows = {(row["variant"], row["group"]): row for row in results(config, done)["static"]}
    for variant, what in (("one", "metrics"), ("three", "metrics"), ("three", "against")):
        few, many = (rows[variant, group][what]["argument_f1"] for group in ("in-domain", "unseen"))
        assert (few["count"], many["count"], few["tasks"], many["tasks"]) == (4, 36, 4, 4)
        assert many["low"] <= few["low"] + 0.05
        assert few["high"] - 0.05 <= many["high"]
    assert "Unseen: unseen_tool, 36 steps of 4 tasks." in results_text(results(config, done))


def test_only_ties_are_no_wide_interval(compared):
    config, done = compared
    [row] = [row for row in results(config, done)["live"] if (row["variant"], row["set"]) == ("one", "all")][:1]
    win = row["win"]
    assert (win["value"], win["count"]) == (0.5, 2)
    other = mean([0.0, 0.0]).high
    assert win["high"] - win["low"] == pytest.approx(other)
    assert (win["low"], win["high"]) != pytest.approx((mean([0.5] * 2).low, mean([0.5] * 2).high))


def test_who_passes_wins_and_of_two_that_pass_who_calls_less(compared):
    config, done = compared
    rows = {(row["variant"], row["strategy"], row["set"]): row for row in results(config, done)["live"]}
    assert rows["three", "chain", "all"]["pass"]["value"] == 1.0
    assert rows["three", "chain", "all"]["win"]["seeds"] == {"0": 1.0, "1": 1.0}
    assert rows["one", "chain", "all"]["win"]["seeds"] == {"0": 0.5, "1": 0.5}
    for one in done:
        if one["variant"] == "three":
            for task in one["live"]["chain"]["sets"]["test"].values():
                task["calls"] = 3
    rows = {(row["variant"], row["strategy"], row["set"]): row for row in results(config, done)["live"]}
    assert rows["three", "chain", "all"]["win"]["seeds"] == {"0": 0.0, "1": 1.0}


def test_rollouts_that_ended_with_an_error_are_counted_and_told(compared):
    config, done = compared
    assert "error" not in results_text(results(config, done))
    done[0]["live"]["chain"] = json.loads(json.dumps(done[0]["live"]["chain"]))
    done[0]["live"]["chain"]["sets"]["test"]["a"]["error"] = "OutOfMemoryError: no memory\nfor it"
    rows = {(row["variant"], row["strategy"], row["set"]): row for row in results(config, done)["live"]}
    assert [len(rows["one", strategy, "all"]["errors"]) for strategy in ("chain", "dfsdt")] == [1, 0]
    text = results_text(results(config, done))
    assert "nothing, One model, chain: 1 rollouts ended with an error" in text
    assert "`OutOfMemoryError: no memory for it`" in text


def squeezed(text):
    """Without the spaces that align its tables."""
    return re.sub(" +", " ", text)


def test_costs_add_up_over_stages_and_are_shown_against_the_baseline(compared):
    config, done = compared
    for one in done:
        if one["variant"] == "three":
            one["stages"]["planner"] = {**one["stages"]["backbone"], "row_tokens": 4_000}
    found = results(config, done)
    costs = {row["variant"]: row for row in found["costs"]}
    assert (costs["three"]["row_tokens"], costs["three"]["seconds"]) == (16_000, 6.0)
    text = squeezed(results_text(found))
    assert "| nothing | Three models | 1.0 (1.00) | 2 (1.00) | 0.02 (1.33) | 0.01 (2.00) | 10 (2.00) |" in text
    assert "backbone 75%, planner 25%" in text
    assert "| nothing | chain | Three models | 100 | 40.0 | 10.0 | 2.0 |" in text


def test_a_report_on_a_part_says_what_is_missing(compared):
    config, done = compared
    text = results_text(results(config, done[:3]))
    assert "1 of 4 cells are missing (nothing/three/1)" in text
    assert results_text(results(config, []))


def test_the_text_has_both_tables_with_intervals_and_no_win_of_the_baseline_over_itself(compared):
    text = squeezed(results_text(results(*compared)))
    assert "| nothing | Three models | 100.0 (51.0-100.0) |" in text
    assert "| nothing | chain | One model | 50.0 / - | 50.0 (17.1-82.9) | - | 0.0-100.0 |" in text
    assert "| nothing | One model | 0.0-100.0 |" in text


def test_variants_with_less_data_are_shown_apart(compared, tmp_path):
    config, done = compared
    text = STUDY + '\n[variants.half]\ntitle = "half"\ntrain = { method = "glpft" }\nshare = 0.5\nscales = "three"\n'
    config = read_study(str(write_study(tmp_path, text)))
    done += [measured(config, cell, tmp_path, right=0.25) for cell in cells(config) if cell.variant == "half"]
    shown = squeezed(results_text(results(config, done)))
    assert shown.count("| half |") == 0
    assert "| nothing | Three models | 0.5 | 25.0" in shown
    assert "| nothing | Three models | 1 | 100.0" in shown


# --- for real ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_whole_study_runs_is_interrupted_and_goes_on_to_the_same_numbers(tmp_path):
    path, out = write_study(tmp_path, seeds="[0]", strategies='["chain"]'), tmp_path / "broken"
    straight = run_study(read_study(str(path)), tmp_path / "straight", lambda _: None)

    training = out / "cells" / "nothing" / "three" / "0" / "run" / "history"
    broken = interrupt_when(training.exists, start("study", path, "--out", out, cwd=tmp_path))
    assert broken.code == 130
    assert "the same command goes on" in broken.err
    kept = out / "cells" / "nothing" / "one" / "0" / "cell.json"
    before = kept.stat().st_mtime_ns
    again = ended(start("study", path, "--out", out, "--workers", 2, cwd=tmp_path))
    assert again.code == 0, again.err
    assert again.out.strip().endswith("report/study.md")
    assert kept.stat().st_mtime_ns == before

    found = [read_json(report / "results.json") for report in (straight, out / "report")]
    assert found[0]["static"] == found[1]["static"]
    assert found[0]["live"] == found[1]["live"]
    for row in found[0]["costs"]:
        assert row["row_tokens"] == pytest.approx(12_000, rel=0.03)
    for name in ("study.md", "losses.svg"):
        assert (out / "report" / name).stat().st_size > 100


@pytest.mark.slow
def test_processes_beside_each_other_are_interrupted_together_and_none_is_left(tmp_path):
    path, out = write_study(tmp_path, seeds="[0]"), tmp_path / "out"
    under_way = start("study", path, "--out", out, "--workers", 2, cwd=tmp_path)
    both = [out / "cells" / "nothing" / name / "0" / "run" / "config.toml" for name in ("one", "three")]
    broken = interrupt_when(lambda: all(each.exists() for each in both), under_way)
    assert broken.code == 130, broken.err
    assert "the same command goes on" in broken.err
    assert not left_in(tmp_path)

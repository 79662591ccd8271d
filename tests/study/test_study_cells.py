"""The folders of a study: what is in them is used, refused or made anew, and nothing of anybody else is lost."""

import json
import shutil

import pytest

from alpha_umi.errors import ConfigError
from alpha_umi.rollouts.runner import ROLLOUTS
from alpha_umi.store import read_json, read_rows, write_json
from alpha_umi.study.cells import DONE, Cell, cells, read_study
from alpha_umi.study.data import Data
from alpha_umi.study.provenance import begin, is_done
from alpha_umi.study.report import write_report
from alpha_umi.study.run import StudyError, run_study
from alpha_umi.study.work import run_cell
from support.commands import run_here
from support.studies import STUDY, finish_all, measured, write_study

CELL = Cell(base="nothing", variant="one", seed=0)


def on_a_base(tmp_path):
    """A study whose cells are done, from a base that is gone since."""
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "model.safetensors").write_text("weights")
    head, tail = STUDY.split("[bases.nothing.tiny]")
    path = write_study(tmp_path, f'{head}[bases.some]\nbase = "./base"\n[train]{tail.split("[train]")[1]}')
    config = finish_all(path, tmp_path / "out")
    shutil.rmtree(tmp_path / "base")
    return path, config


# --- data -------------------------------------------------------------------------------------------------


def test_data_is_made_in_no_folder_that_holds_something_else(tmp_path):
    mine = tmp_path / "data" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    config = read_study(str(write_study(tmp_path)))
    with pytest.raises(ConfigError, match="holds something else than a study's data; name another --out"):
        run_study(config, tmp_path, lambda _: None)
    write_json(mine.parent / "done.json", [1])
    with pytest.raises(ConfigError, match="holds something else"):
        Data(tmp_path, config).make(lambda _: None)
    assert mine.read_text() == "mine"


def test_data_that_was_cut_short_is_made_anew(tmp_path):
    data = Data(tmp_path, read_study(str(write_study(tmp_path))))

    def stop(at):
        if at.startswith("live"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        data.make(stop)
    (data.folder / "left").write_text("")
    told = []
    data.make(told.append)
    assert told
    assert not (data.folder / "left").exists()
    assert data.training("ours").exists()


# --- cells ------------------------------------------------------------------------------------------------


def test_a_cell_that_was_begun_otherwise_is_not_gone_on_with(tmp_path):
    config = read_study(str(write_study(tmp_path)))
    assert not is_done(config, CELL, tmp_path / "out")
    begin(config, CELL, tmp_path / "out")
    assert not is_done(config, CELL, tmp_path / "out")
    for changed in ({"first": "7"}, {"max_steps": "3"}, {"tokens": "13_000"}, {"sets": '["unseen_tool"]'}):
        text = STUDY.replace("[static]", "[static]\nfirst = 0") if "first" in changed else STUDY
        other = read_study(str(write_study(tmp_path, text, **changed)))
        for go_on in (is_done, lambda *cell: run_cell(*cell, print)):
            with pytest.raises(ConfigError, match="other settings"):
                go_on(other, CELL, tmp_path / "out")


def test_a_cell_that_does_not_say_what_it_was_begun_with_is_left_as_it_is(tmp_path):
    config = read_study(str(write_study(tmp_path)))
    left = CELL.folder(tmp_path) / "seconds.json"
    write_json(left, {})
    with pytest.raises(ConfigError, match="does not say what it was begun with"):
        run_study(config, tmp_path, lambda _: None)
    assert left.exists()
    assert not (tmp_path / "data").exists()


def test_a_cell_that_another_run_finished_is_not_done_again(tmp_path):
    config = finish_all(write_study(tmp_path), tmp_path)
    before = read_json(CELL.folder(tmp_path) / DONE)
    run_cell(config, CELL, tmp_path, lambda *_: pytest.fail("done again"))
    assert read_json(CELL.folder(tmp_path) / DONE) == before


def test_where_no_cell_can_have_a_folder_all_have_failed(tmp_path):
    (tmp_path / "cells").write_text("mine")
    with pytest.raises(StudyError, match=r"4 of 4 cells failed, the first: nothing/one/0: .* cannot be written"):
        run_study(read_study(str(write_study(tmp_path))), tmp_path, lambda _: None)
    assert (tmp_path / "cells").read_text() == "mine"


@pytest.mark.slow
def test_a_cell_goes_on_with_what_ended_with_an_error_and_reads_only_what_it_asked_for(tmp_path):
    text = STUDY.split("[variants.three]")[0]
    config = read_study(str(write_study(tmp_path, text, seeds="[0]", strategies='["chain"]')))
    Data(tmp_path, config).make(lambda _: None)

    def interrupt(at, done, _):
        if at == "chain" and done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_cell(config, CELL, tmp_path, interrupt)
    run_cell(config, CELL, tmp_path, lambda *_: None)
    done = CELL.folder(tmp_path) / DONE
    first = read_json(done)
    assert first["live"]["chain"]["engine"] == {}, "what an interrupted run computed for whom is not known"

    rollouts = CELL.folder(tmp_path) / "live" / "chain" / ROLLOUTS
    rows = [row for _, row in read_rows(rollouts)]
    broken = [rows[0] | {"error": "RuntimeError: x", "verdict": None}, *rows[1:], rows[0] | {"set": "gone"}]
    rollouts.write_text("".join(json.dumps(row) + "\n" for row in broken))
    done.unlink()
    run_cell(config, CELL, tmp_path, lambda *_: None)
    again = read_json(done)
    assert again["live"]["chain"]["sets"] == first["live"]["chain"]["sets"]
    assert again["static"] == first["static"]

    done.unlink()
    shutil.rmtree(rollouts.parent)
    run_cell(config, CELL, tmp_path, lambda *_: None)
    whole = read_json(done)["live"]["chain"]
    assert whole["sets"] == first["live"]["chain"]["sets"]
    assert whole["engine"]["prefilled"] > 0


# --- the report -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changed", [{"tokens": "13_000"}, {"strategies": '["dfsdt"]'}, {"strategies": '["greedy"]'}])
def test_no_report_tells_of_cells_that_were_measured_otherwise(tmp_path, changed):
    finish_all(write_study(tmp_path), tmp_path)
    with pytest.raises(ConfigError, match="other settings"):
        write_report(read_study(str(write_study(tmp_path, **changed))), tmp_path)
    assert not (tmp_path / "report").exists()


def test_a_report_on_nothing_is_none(tmp_path):
    ended = run_here("study", write_study(tmp_path), "--out", tmp_path / "mistyped", "--report")
    assert ended.code == 2
    assert "no cell of study 'small' is done there" in ended.err
    assert not (tmp_path / "mistyped").exists()


def test_gathered_cells_are_compared_without_their_base_and_the_report_says_so(tmp_path):
    path, config = on_a_base(tmp_path)
    report = write_report(config, tmp_path / "out")
    assert "Not compared with this study's base, which is not here: some." in (report / "study.md").read_text()
    other = read_study(str(path), ("live.max_steps=3",))
    with pytest.raises(ConfigError, match="other settings"):
        write_report(other, tmp_path / "out")


def test_of_older_cells_without_their_base_what_they_hold_is_compared(tmp_path):
    path, config = on_a_base(tmp_path)
    for cell in cells(config):
        done = cell.folder(tmp_path / "out") / DONE
        document = measured(config, cell, tmp_path / "out")
        del document["settings"]
        write_json(done, document)
    report = write_report(config, tmp_path / "out")
    assert (
        "settings, since their base is not here: some/one/0, some/three/0, some/" in (report / "study.md").read_text()
    )
    for changed in ('live.strategies=["dfsdt"]', "live.tasks=3", 'static.in_domain=["unseen_tool"]', "budget.tokens=1"):
        with pytest.raises(ConfigError, match="other settings"):
            write_report(read_study(str(path), (changed,)), tmp_path / "out")

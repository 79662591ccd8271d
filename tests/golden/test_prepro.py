"""Compat preparation equals the published one byte for byte, on whatever cases the golden folder holds."""

from __future__ import annotations

import json

import pytest

from alpha_umi.datasets.processed import read_processed
from alpha_umi.datasets.reference import published_stage_2
from alpha_umi.datasets.toolbench import Skip
from alpha_umi.formats.template import TemplateFormat
from alpha_umi.preparation import AnswerOptions, export_published, prepare_answers, prepare_processed
from alpha_umi.preparation.answers import GROUPS, STAGES, TEST_SETS
from alpha_umi.roles import FORMAT_ROLES
from alpha_umi.store import read_json, read_trajectories
from support.folders import GOLDEN

PREPRO = GOLDEN / "prepro"
FORMAT = GOLDEN.parent / "formats/alpha_umi_v1.json"
HOLDOUTS = sorted(PREPRO.glob("*/holdout_*"))
RERUNS = sorted(PREPRO.glob("*/rerun"))


def edge_cases(name):
    return [case for path in sorted(PREPRO.glob(f"*/{name}")) for case in read_json(path)]


STAGE_1 = edge_cases("stage1_cases.json")
STAGE_2 = edge_cases("stage2_roles_cases.json")

pytestmark = pytest.mark.skipif(not PREPRO.is_dir(), reason=f"no golden cases at {PREPRO}; set ALPHA_UMI_GOLDEN")


@pytest.fixture(scope="module")
def template():
    if not FORMAT.is_file():
        pytest.skip(f"no published format at {FORMAT}")
    return TemplateFormat.from_document(read_json(FORMAT))


def assert_same_roles(trajectories, expected, folder, template):
    found = [role for role in FORMAT_ROLES if (expected / f"train_{role.value}.json").is_file()]
    assert found, f"no role files in {expected}"
    for role in found:
        out = folder / f"{role.value}.json"
        report = export_published(read_trajectories(trajectories), role, template, out)
        assert out.read_bytes() == (expected / f"train_{role.value}.json").read_bytes(), role
        assert report.skipped == ()


@pytest.mark.parametrize("case", HOLDOUTS, ids=lambda path: f"{path.parent.name}/{path.name}")
@pytest.mark.parametrize("workers", [1, 3])
def test_raw_answers_become_the_published_stages_and_role_files(case, workers, tmp_path, template):
    answers, expected = case.parent / "answer", case / "expected/full"
    if not answers.is_dir() or not expected.is_dir():
        pytest.skip("no answers or no expected files in this case")
    options = AnswerOptions(test_ids=case / "data/test_query_ids", stages=tmp_path, compat=True, workers=workers)
    prepare_answers(answers, tmp_path / "t.jsonl", options)
    for stage in STAGES:
        assert (tmp_path / stage).read_bytes() == (expected / stage).read_bytes(), stage
    assert_same_roles(tmp_path / "t.jsonl", expected, tmp_path, template)


@pytest.mark.parametrize("case", RERUNS, ids=lambda path: path.parent.name)
def test_published_stage_2_becomes_the_published_role_files(case, tmp_path, template):
    prepare_processed([case / "raw_data_stage_2.json"], tmp_path / "t.jsonl")
    assert_same_roles(tmp_path / "t.jsonl", case, tmp_path, template)


@pytest.mark.parametrize("case", STAGE_1, ids=lambda case: case["name"])
def test_edge_answers_become_the_published_stage_1(case, tmp_path):
    write_edge_files(case["files"], tmp_path)
    untruncated = case["expected"] if case.get("expected_untruncated") == "same" else case["expected_untruncated"]
    for limit, expected in ((20, case["expected"]), (None, untruncated)):
        options = AnswerOptions(test_ids=tmp_path / "test_query_ids", stages=tmp_path, compat=True, limit=limit)
        report = prepare_answers(tmp_path / "answer", tmp_path / "t.jsonl", options)
        got = (tmp_path / STAGES[0]).read_text()
        if is_crash(expected):
            # Published: no file at all. Ours: the rest of the answers, and a word about this one.
            assert report.skipped or report.ignored
            assert isinstance(json.loads(got), list)
        else:
            assert got == json.dumps(expected, indent=2)


def write_edge_files(files, folder):
    for group in GROUPS:
        (folder / "answer" / group).mkdir(parents=True)
    (folder / "test_query_ids").mkdir()
    for name in TEST_SETS:
        (folder / "test_query_ids" / f"{name}.json").write_text("{}")
    for name, content in files.items():
        path = folder / name if name.startswith("test_query_ids") else folder / "answer" / name
        raw = isinstance(content, str) and content.startswith("RAW:")
        path.write_text(content.removeprefix("RAW:") if raw else json.dumps(content))


@pytest.mark.parametrize("case", STAGE_2, ids=lambda case: case["name"])
def test_edge_chains_become_the_published_stage_2(case):
    rows = [published_stage_2(row) for row in case["stage1"]]
    expected = case["expected"]["stage2"]
    if is_crash(expected):
        assert any(isinstance(row, Skip) and "published preparation stops here" in row.reason for row in rows)
    else:
        assert json.dumps(rows, indent=2) == json.dumps(expected, indent=2)


@pytest.mark.parametrize("role", FORMAT_ROLES)
@pytest.mark.parametrize("case", STAGE_2, ids=lambda case: case["name"])
def test_edge_chains_become_the_published_role_files(case, role, tmp_path, template):
    expected = case["expected"].get(role.value)
    if expected is None:
        pytest.skip("stage 2 crashed in the published code; there is nothing to compare")
    rows = [published_stage_2(row) for row in case["stage1"]]
    trajectories = [read_processed(row, str(index)) for index, row in enumerate(rows)]
    report = export_published(trajectories, role, template, tmp_path / "out.json")
    if is_crash(expected):
        assert report.skipped
        assert all("published preparation stops here" in reason for reason in report.skipped)
    else:
        assert (tmp_path / "out.json").read_text() == json.dumps(expected, indent=2)
        assert report.skipped == ()


def is_crash(expected):
    return isinstance(expected, dict) and "crash" in expected

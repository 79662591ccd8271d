"""The published ToolEval, conversion to aggregates, on every case found in the goldens."""

import json

import pytest

from alpha_umi.evaluation.judging.published_convert import Published, PublishedConverter
from conftest import golden_dir

GOLDEN = golden_dir("tooleval")
VERSIONS = {"umi": Published.ALPHA_UMI, "openbmb": Published.OPENBMB, "stable": Published.STABLE}


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


# --- conversion -----------------------------------------------------------------------------------------


def conversions():
    return sorted(p for p in (GOLDEN / "convert").glob("*.json") if p.stem.rpartition("_")[2] in (*VERSIONS, "SHIPPED"))


def raw_answers(name):
    """The folder of the raw answers behind a conversion; the goldens keep them in several places."""
    if (GOLDEN / "convert/inputs" / name).is_dir():
        return GOLDEN / "convert/inputs" / name
    kind, _, rest = name.partition("_")
    if kind == "C":
        return GOLDEN / "convert/inputs_hist" / rest.partition("_")[2]
    if kind == "B":
        answers = GOLDEN / "stable_example/answer"
        return next(folder for model in answers.iterdir() if model.name in name for folder in model.iterdir())
    folder, _, group = rest.rpartition("_")
    return GOLDEN.parent / "prepro" / f"A_{folder}" / "answer" / f"{group}_answer"


def convert(name, version, method, order=None):
    files = {p.name.split("_")[0]: p for p in sorted(raw_answers(name).glob("*.json")) if method in p.name}
    converter = PublishedConverter(version=version, method=method)
    return {key: converter.convert(key, read(files[key])) for key in order or files}


def method_of(name, records):
    for record in records.values():
        return record["answer"]["method"]
    return "DFS_woFilter_w2" if "DFS" in name else "CoT@1"


@pytest.mark.parametrize("path", conversions(), ids=lambda path: path.stem)
def test_raw_answers_convert_as_the_published_code_converts_them(path):
    name, _, version = path.stem.rpartition("_")
    expected = read(path)
    method = method_of(name, expected)
    if version == "SHIPPED":  # listed by another disk, so drawn in another order
        made = convert(name, Published.OPENBMB, method, order=list(expected))
    else:
        made = convert(name, VERSIONS[version], method)
    assert list(made) == list(expected)
    assert made == expected


def test_there_are_conversions():
    assert conversions()

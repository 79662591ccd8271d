"""Needs of the functions world: every file fits its own templates; faults are named."""

from importlib.resources import files
from pathlib import Path

import pytest

from alpha_umi.errors import DataError
from alpha_umi.world.functions.check import find_faults
from alpha_umi.world.functions.needs import read_domain
from alpha_umi.world.functions.templates import read_template

FILES = sorted(Path(str(files("alpha_umi.world.functions"))).glob("data/*.toml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file_has_no_fault(path):
    assert list(find_faults(read_domain(path))) == []


def test_ids_of_needs_are_unique_across_domains():
    ids = [f"{path.stem}.{need}" for path in FILES for need in read_domain(path).needs]
    assert len(ids) == len(set(ids))


def test_optional_part_appears_only_where_its_slot_is_given():
    template = read_template("Trains to {city}[ after {time}], please")
    values = {"city": "Graz", "time": "noon"}
    assert template.fill(set(), values.__getitem__) == "Trains to Graz, please"
    assert template.fill({"time"}, values.__getitem__) == "Trains to Graz after noon, please"
    assert (template.required, template.optional) == ({"city"}, {"time"})


@pytest.mark.parametrize("text", ["a ] b", "a [ {b}", "[no slot]", "{Bad}", "[a {b} [c {d}]]", "{b"])
def test_stray_marks_of_a_template_are_refused(text):
    with pytest.raises(DataError, match="template"):
        read_template(text)


def test_faults_name_need_and_template(tmp_path):
    text = """
outside = ["Will it snow?"]
[[need]]
id = "pollen"
effect = "read"
names = ["pollen level"]
docs = ["Pollen of a place."]
params.place = { names = ["city"], type = "string", values = "pool city", noun = "the city", docs = ["City"] }
queries = ["Pollen in {plaec}?"]
result.grains = "0..900"
answers = ["{grains}"]
"""
    (tmp_path / "air.toml").write_text(text)
    faults = list(find_faults(read_domain(tmp_path / "air.toml")))
    assert "need 'pollen': 'Pollen in {plaec}?': unknown slots ['plaec']" in faults
    assert "need 'pollen': 'Pollen in {plaec}?': lacks ['place']" in faults
    (tmp_path / "air.toml").write_text(text.replace('values = "pool city"', 'values = "pool cty"'))
    with pytest.raises(DataError, match=r"air.toml: need 'pollen': parameter 'place': pool 'cty' is unknown"):
        read_domain(tmp_path / "air.toml")

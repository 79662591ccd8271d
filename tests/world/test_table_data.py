"""The data files of the table world: read strictly, and consistent with each other."""

import re

import pytest

from alpha_umi.world.table.categories import CATEGORIES, load_category
from alpha_umi.world.table.names import load_columns, load_domains, load_rates
from alpha_umi.world.table.sections import load_sections, read_entries, read_list, read_sections
from alpha_umi.world.table.vocabulary import load_vocabulary

NEEDS = {need.name: need for name in CATEGORIES for need in load_category(name).needs.values()}


def placeholders(phrase):
    return set(re.findall(r"\{(\w+)\}", phrase))


def test_sections_keep_their_lines_without_comments_and_with_continuations():
    text = "# about\n\n[first]\none\n   two\n# no line\nthree\n[second]\n"
    assert read_sections(text) == {"first": ["one two", "three"], "second": []}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[a]\n[b]\n[a]\n", "line 3: the section \\[a\\] stands twice"),
        ("one\n[a]\n", "line 1: 'one' stands in no section"),
        ("[a]\n  one\n", "line 2: 'one' continues no line"),
    ],
)
def test_a_malformed_file_is_refused_with_the_line(text, words):
    with pytest.raises(ValueError, match=words):
        read_sections(text)


def test_a_missing_file_is_an_error():
    with pytest.raises(FileNotFoundError):
        load_sections("no_such_file")


def test_an_entry_without_a_value_is_refused():
    with pytest.raises(ValueError, match="'goal' is not of the form"):
        list(read_entries(["goal"]))


def test_every_paraphrase_belongs_to_an_intent_and_names_its_inputs():
    intents = {
        f"{need.name}.{'+'.join(part.value for part in template.answer_parts)}"
        for need in NEEDS.values()
        for template in need.templates
    }
    for title, phrases in load_sections("paraphrases").items():
        assert title in intents
        need = NEEDS[title.partition(".")[0]]
        required = set(need.inputs) - set(need.defaults)
        assert all(placeholders(phrase) == required for phrase in phrases), title


def test_every_description_belongs_to_a_need_and_names_inputs_alone():
    for name, phrases in load_vocabulary().descriptions.items():
        assert all(placeholders(phrase) <= set(NEEDS[name].inputs) for phrase in phrases), name


def test_every_phrase_of_a_need_names_its_inputs_alone():
    for need in NEEDS.values():
        known = set(need.inputs)
        phrases = [
            need.goal,
            *(phrase for template in need.templates for phrase in (*template.nouns, *template.questions)),
        ]
        phrases += [phrase for references in need.references.values() for phrase in references]
        assert all(placeholders(phrase) <= known for phrase in phrases), need.name
        assert set(need.references) <= set(need.outputs)
        assert set(need.options) <= set(need.defaults)
        for template in need.templates:
            assert placeholders(template.answer) <= known | set(need.outputs), need.name


def test_the_facts_agree_with_each_other():
    columns = load_columns()
    countries, cities = set(columns["country.country"]), columns["city.country"]
    assert set(cities.values()) <= countries
    assert all(cities[capital] == country for country, capital in columns["country.capital"].items())
    assert set(columns["country.currency"].values()) <= set(load_rates())
    airports = list(columns["city.airport"].values())
    assert len(set(airports)) == len(airports)


def test_former_names_mean_names_of_their_domain_and_unknown_ones_do_not():
    for domain in load_domains().values():
        terms = set(getattr(domain, "terms", ()))
        former = getattr(domain, "former", {})
        assert set(former.values()) <= terms
        assert terms.isdisjoint([*former, *getattr(domain, "unknown_entities", ())])


def test_every_unit_that_an_answer_can_owe_has_spellings():
    units = dict(read_entries(load_sections("units")["units"]))
    units_of_parts = {
        part.unit.removeprefix("=")
        for need in NEEDS.values()
        for template in need.templates
        for part in template.answer_parts
    }
    assert units_of_parts - {"", "unit", "currency"} <= set(units)
    assert all(unit in read_list(spellings) for unit, spellings in units.items())

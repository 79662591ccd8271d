"""Help of every verb: a summary that no terminal cuts, and two examples whose options exist."""

import shlex

import pytest
from typer.main import get_command

from alpha_umi.cli import app
from alpha_umi.cli.examples import EXAMPLES
from support.commands import run_here


def verbs(command, above=""):
    for name, each in getattr(command, "commands", {}).items():
        if getattr(each, "commands", {}):
            yield from verbs(each, f"{above}{name} ")
        else:
            yield f"{above}{name}", each


VERBS = dict(verbs(get_command(app)))


def test_summaries_are_whole_at_eighty_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for group in ("", "prepare", "judge", "world"):
        shown = run_here(*group.split(), "--help").out
        assert "..." not in shown.partition("Commands:")[2], shown


@pytest.mark.parametrize("name", [name for name in VERBS if name in EXAMPLES])
def test_a_verb_shows_two_examples_whose_options_exist(name):
    command = VERBS[name]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    required = {parameter.opts[0] for parameter in command.params if parameter.required and "--" in parameter.opts[0]}
    for line in EXAMPLES[name][1:]:
        words = shlex.split(line)
        assert " ".join(words[1:]).startswith(name)
        options = {word for word in words if word.startswith("--")}
        assert options <= known, line
        assert required <= options, line
        assert line in command.epilog


def test_every_example_is_of_a_verb_and_every_verb_of_a_user_has_examples():
    assert set(EXAMPLES) == set(VERBS)

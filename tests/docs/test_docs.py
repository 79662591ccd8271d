"""The command line's reference is what the command line says of itself."""

import re
from collections.abc import Iterator

import pytest
from typer.main import get_command

from alpha_umi.cli import app
from alpha_umi.cli.ask import GAVE_UP, NO_ANSWER
from alpha_umi.errors import AlphaUMiError
from alpha_umi.loading.agents import read_agent
from alpha_umi.roles import AGENT_ROLES
from alpha_umi.types import Role
from support.folders import REPOSITORY

REFERENCE = REPOSITORY / "docs" / "cli.md"
SERVING = REPOSITORY / "docs" / "serving.md"


def reference():
    lines = [
        "# The command line",
        "",
        "Made from the program itself: `pytest tests/docs/test_docs.py --update-golden`.",
        *sections("umi", get_command(app)),
        *exit_codes(),
    ]
    return "\n".join(lines) + "\n"


def exit_codes() -> Iterator[str]:
    yield from ["", "## Exit codes", "", "| code | means |", "|---|---|"]
    yield "| 0 | Done; of `ask` and `chat`: an answer. |"
    yield f"| {NO_ANSWER} | `ask` and `chat`: no answer for another reason than that the agent gave up. |"
    yield f"| {GAVE_UP} | `ask` and `chat`: the agent gave up. |"
    kinds = [kind for kind in AlphaUMiError.__subclasses__() if kind.__module__ == AlphaUMiError.__module__]
    for error in sorted(kinds, key=lambda error: error.exit_code):
        yield f"| {error.exit_code} | {error.__name__}: {error.__doc__.splitlines()[0]} |"


def sections(name, command) -> Iterator[str]:
    inner = getattr(command, "commands", {})
    arguments = " ".join(p.name.upper() for p in command.params if p.param_type_name == "argument")
    yield from ["", f"## `{' '.join(filter(None, (name, arguments)))}`", "", " ".join((command.help or "").split())]
    shown = [row(parameter) for parameter in command.params if parameter.name != "help"]
    if shown:
        yield from ["", "| | | |", "|---|---|---|", *shown]
    for verb, each in inner.items():
        yield from sections(f"{name} {verb}", each)


def row(parameter):
    if parameter.param_type_name == "argument":
        said = f"`{parameter.name.upper()}`{' ...' if parameter.nargs == -1 else ''}"
    else:
        value = "" if parameter.is_flag else f" {parameter.metavar or parameter.opts[0].strip('-').upper()}"
        said = f"`{parameter.opts[0]}{value}`{', repeatable' if parameter.multiple else ''}"
    needed = "required" if parameter.required else default(parameter)
    return f"| {said} | {needed} | {' '.join((parameter.help or '').split())} |"


def default(parameter):
    value = parameter.default
    return "" if value in (None, False) or callable(value) else f"default {value}"


def test_the_reference_of_the_command_line_is_up_to_date(request):
    made = reference()
    if request.config.getoption("--update-golden"):
        REFERENCE.write_text(made, encoding="utf-8")
    assert REFERENCE.read_text(encoding="utf-8") == made, "stale: run pytest tests/docs/test_docs.py --update-golden"


def test_every_option_of_every_verb_says_what_it_is_for():
    unsaid = [line for line in reference().splitlines() if line.startswith("| `") and line.endswith("|  |")]
    assert not unsaid


@pytest.mark.parametrize("text", re.findall(r"```toml\n(.*?)```", SERVING.read_text(encoding="utf-8"), re.DOTALL))
def test_every_agent_file_of_the_serving_recipes_is_one(text, tmp_path):
    (tmp_path / "agent.toml").write_text(text)
    agent = read_agent(tmp_path / "agent.toml")
    assert all(
        agent.roles.get(role) is not None for role in (AGENT_ROLES if agent.roles.is_multi else (Role.BACKBONE,))
    )

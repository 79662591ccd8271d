"""Names of the previous version still work, and say what they are called now."""

import importlib
import shutil

import pytest

from alpha_umi.config import AgentConfig, load_config
from alpha_umi.deprecation import MOVED, PACKAGE, RENAMED, SPLIT, RenamedWarning, renamed_flags
from alpha_umi.errors import ConfigError
from alpha_umi.loading.agents import read_agent
from alpha_umi.loading.bundled import DEFAULT, FOLDER, PROVENANCE
from support.commands import run_here


def public_names(module):
    """Of what the module itself defines."""
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    return [name for name in own if not name.startswith("_")]


@pytest.mark.parametrize("old", sorted(MOVED))
def test_an_old_module_has_the_names_of_the_new_ones_and_warns(old):
    module = importlib.import_module(f"{PACKAGE}.{old}")
    for target in MOVED[old]:
        new = importlib.import_module(f"{PACKAGE}.{target}")
        for name in public_names(new)[:1]:
            said = rf"{PACKAGE}\.{old}\.{name} is called {PACKAGE}\.{target}\.{name} now"
            with pytest.warns(RenamedWarning, match=said):
                assert getattr(module, name) is getattr(new, name)


@pytest.mark.parametrize("old", sorted(SPLIT))
def test_names_that_moved_out_of_a_package_are_found_and_warn(old):
    package = importlib.import_module(f"{PACKAGE}.{old}")
    new = importlib.import_module(f"{PACKAGE}.{SPLIT[old][0]}")
    name = next(name for name in public_names(new) if name not in vars(package))
    with pytest.warns(RenamedWarning, match=name):
        assert getattr(package, name) is getattr(new, name)


@pytest.mark.parametrize("old", sorted(RENAMED))
def test_a_renamed_name_is_found_under_its_old_one_and_warns(old):
    module = importlib.import_module(f"{PACKAGE}.{old}")
    for before, now in RENAMED[old].items():
        with pytest.warns(RenamedWarning, match=rf"\.{before} is called .*\.{now} now"):
            getattr(module, before)


def test_a_name_that_never_was_is_still_an_error():
    with pytest.raises(ImportError, match="nonsense"):
        from alpha_umi.build import nonsense  # type: ignore  # noqa: F401
    with pytest.raises(ModuleNotFoundError, match=r"alpha_umi\.nonsense"):
        importlib.import_module("alpha_umi.nonsense")


def test_an_old_flag_is_read_as_its_new_name_with_one_line_of_warning():
    with pytest.warns(RenamedWarning, match="--held is called --constrained now"):
        assert renamed_flags(["predict", "--held", "--", "--held"]) == ["predict", "--constrained", "--", "--held"]
    ended = run_here("ask", "What?", "--world", "tiny", "--world-task", "test:0", "--held")
    assert ended.err.splitlines()[0].startswith("warning: --held is called --constrained now")


@pytest.mark.parametrize("named", ["held", "made"])
def test_an_old_key_is_read_as_its_new_name(named, tmp_path):
    path, new = tmp_path / "agent.toml", AgentConfig.renamed[named]
    value = {"held": "held = true\n", "made": '[made]\nagent = "a"\nformat = "f"\npreset = "tiny"\nworld = "1"\n'}[
        named
    ]
    path.write_text('format = "shared"\nroles = {backbone = {model = "m"}}\n' + value)
    with pytest.warns(RenamedWarning, match=f"key '{named}' is called '{new}' now"):
        config = load_config(AgentConfig, path)
    assert config.constrained is (named == "held")
    assert (config.provenance is not None) is (named == "made")


def test_an_old_and_a_new_key_together_are_an_error(tmp_path):
    path = tmp_path / "agent.toml"
    path.write_text('format = "shared"\nheld = true\nconstrained = true\nroles = {backbone = {model = "m"}}\n')
    with pytest.raises(ConfigError, match="both are given"):
        load_config(AgentConfig, path)


def test_an_old_run_directory_is_read_with_a_warning(tmp_path):
    run = tmp_path / "run"
    shutil.copytree(FOLDER / DEFAULT, run)
    (run / PROVENANCE).rename(run / "made.json")
    with pytest.warns(RenamedWarning, match=r"run: made\.json is called provenance\.json now"):
        config = read_agent(run)
    assert config.provenance == read_agent(FOLDER / DEFAULT).provenance

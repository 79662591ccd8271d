"""Names of the previous version still work, and say what they are called now."""

import importlib

import pytest

from alpha_umi.deprecation import MOVED, PACKAGE, SPLIT, RenamedWarning


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
    name = public_names(new)[0]
    with pytest.warns(RenamedWarning, match=name):
        assert getattr(package, name) is getattr(new, name)


def test_a_name_that_never_was_is_still_an_error():
    with pytest.raises(ImportError, match="nonsense"):
        from alpha_umi.build import nonsense  # type: ignore  # noqa: F401
    with pytest.raises(ModuleNotFoundError, match=r"alpha_umi\.nonsense"):
        importlib.import_module("alpha_umi.nonsense")

"""The lock: what `make setup` installs fits what pyproject.toml asks for."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def locked(name):
    """The lines of a lock by package; a package may have one line per range of Pythons."""
    found = {}
    for line in (ROOT / "requirements" / f"{name}.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            one = Requirement(line)
            found.setdefault(one.name, []).append(one)
    return found


def asked(*extras):
    """What pyproject.toml asks for, with the extras that extras name."""
    for line in (
        *PROJECT["dependencies"],
        *(each for extra in extras for each in PROJECT["optional-dependencies"][extra]),
    ):
        one = Requirement(line)
        if one.name == PROJECT["name"]:
            yield from asked(*one.extras)
        elif one.name != "torch":
            yield one


@pytest.mark.parametrize(("name", "extras"), [("setup", ["all", "dev"]), ("bench", ["bench"])])
def test_a_lock_holds_one_version_of_all_that_is_asked_for(name, extras):
    lock = locked(name)
    for one in asked(*extras):
        versions = [str(each.specifier) for each in lock[one.name.replace("_", "-")]]
        assert all(each.startswith("==") and one.specifier.contains(each[2:]) for each in versions), (one, versions)


@pytest.mark.parametrize("name", ["setup", "bench"])
def test_a_lock_names_no_build_of_torch_and_no_place(name):
    assert not [each for each in locked(name) if each.startswith(("torch", "triton", "nvidia", "cuda"))]
    assert not [each for group in locked(name).values() for each in group if each.url]
    assert "--" not in (ROOT / "requirements" / f"{name}.txt").read_text()


def test_benchmarks_run_on_the_versions_of_the_tests():
    tests, bench = locked("setup"), locked("bench")
    assert {name: bench[name] for name in bench.keys() & tests.keys()}
    for name in bench.keys() & tests.keys():
        assert {str(each.specifier) for each in bench[name]} <= {str(each.specifier) for each in tests[name]}, name

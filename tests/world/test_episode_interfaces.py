"""Verdicts of the sealed world are equal through every library whose adapter can be imported here."""

import importlib.util
import sys

import pytest

from support.folders import REPOSITORY


@pytest.fixture(scope="module")
def bench():
    path = REPOSITORY / "benchmarks" / "environments.py"
    spec = importlib.util.spec_from_file_location("bench_environments", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def asked(bench):
    return [(place, bench.actions_of(place)[1]) for place in bench.places(22)]


@pytest.mark.parametrize("name", ["MCP", "verifiers", "OpenEnv", "TRL", "inspect_ai"])
@pytest.mark.filterwarnings("ignore")
def test_equal_actions_have_equal_verdicts(name, bench, asked):
    library, through = bench.INTERFACES[name]
    pytest.importorskip(library)
    wanted = bench.in_process(asked)
    assert {tuple(verdict[:2]) for verdict in wanted} >= {(True, True), (False, True), (True, False)}
    assert through(asked) == wanted


@pytest.mark.parametrize("module", ["verifiers_taskset", "openenv_server", "inspect_task"])
def test_an_adapter_without_its_library_says_what_to_install(module, monkeypatch):
    from alpha_umi.errors import ConfigError

    for library in ("verifiers", "verifiers.v1", "openenv", "openenv.core", "inspect_ai"):
        monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"alpha_umi.episodes.{module}", raising=False)
    with pytest.raises(ConfigError, match=r"needs .*: pip install"):
        importlib.import_module(f"alpha_umi.episodes.{module}")

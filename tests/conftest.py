"""Settings of every test: no network beyond this machine, one thread, no deadlines."""

from __future__ import annotations

import gc
import os
import signal

import hypothesis
import pytest

from support.examples import ALL, PART
from support.offline import block_network

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side; read when torch is first imported
block_network()
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a script
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite generated files instead of comparing them")


def pytest_configure(config: pytest.Config) -> None:
    """Test each law in a part of its cases where the slow tests are left out."""
    count = PART if config.option.markexpr == "not slow" else ALL
    hypothesis.settings.register_profile(
        "busy machine", deadline=None, max_examples=count, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("busy machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that hold slow tests, so that no worker is left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """Keep imported modules out of every later garbage collection: the Trainer of transformers starts several."""
    gc.collect()
    gc.freeze()

"""Settings of every test: no network beyond this machine, one thread, no deadlines."""

from __future__ import annotations

import gc
import os
import signal

import hypothesis
import pytest

from support.offline import block_network

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side; read when torch is first imported
hypothesis.settings.register_profile(
    "busy machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("busy machine")
block_network()
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a script
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite generated files instead of comparing them")


def pytest_collection_finish() -> None:
    """Keep imported modules out of every later garbage collection: the Trainer of transformers starts several."""
    gc.collect()
    gc.freeze()

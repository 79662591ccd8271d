"""What every test may rely on: no network beyond this machine, and the golden cases read where they lie."""

from __future__ import annotations

import ipaddress
import os
import sys
from pathlib import Path

import hypothesis
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side; read when torch is first imported
hypothesis.settings.register_profile(
    "busy machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("busy machine")

_REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite generated files instead of comparing them")


class NetworkBlockedError(Exception):
    """A test tried to leave this machine."""


def _is_local(host: object) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(str(name).partition("%")[0]).is_loopback
    except ValueError:
        return False


def _block_network(event: str, arguments: tuple[object, ...]) -> None:
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None  # of an AF_UNIX socket it is a path
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    else:
        return
    if not _is_local(host):
        raise NetworkBlockedError(f"tests run offline, this one asked for {host!r} ({event})")


sys.addaudithook(_block_network)  # below every client library, so none can go round it


def golden_dir(family: str) -> Path:
    """The folder of one family of golden cases; skips the test, or the importing module, where there is none.

    Looked for under the environment variable ALPHA_UMI_GOLDEN, else in ../shared/golden beside the repository.
    """
    root = Path(os.environ.get("ALPHA_UMI_GOLDEN") or _REPOSITORY.parent / "shared" / "golden")
    folder = root / family
    if not folder.is_dir():
        pytest.skip(f"no golden cases at {folder}; set ALPHA_UMI_GOLDEN to their folder", allow_module_level=True)
    return folder

"""An audit hook that lets tests connect to this machine only."""

import ipaddress
import sys


class NetworkBlockedError(Exception):
    """An attempt of a test to reach another machine."""


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


def block_network() -> None:
    """Refuse every connection of this process to another machine, below every client library."""
    sys.addaudithook(_block_network)

"""Calls per second of the virtual ToolBench, by a bare HTTP client in this process; the server is another one.

    python benchmarks/virtual_tools.py [COUNT]

First every call is new (the sealed world replies and the cache keeps it), then all come from the cache. The peer is
ToolBench's own client, which sleeps two seconds before each call and makes one at a time.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[1]
PEER = 0.5
"""Calls per second of the published client at best (inference/Downstream_tasks/rapidapi.py sleeps for 2 s)."""


def bodies(count: int, first: int) -> list[bytes]:
    """Calls of one tool within tasks, each another question."""
    call = {"category": "weather", "tool_name": "skycast", "api_name": "weather", "strip": "truncate"}
    cities = ("Athens", "Berlin", "Cairo", "Dublin", "Lima", "Oslo", "Paris", "Rome", "Tokyo", "Vienna")
    return [
        json.dumps(
            {
                **call,
                "tool_input": json.dumps({"city": cities[number % len(cities)], "unit": "C", "number": number}),
                "toolbench_key": f"tiny-0-train-{number % 500}",
            }
        ).encode()
        for number in range(first, first + count)
    ]


async def ask(url: str, requests: list[bytes], at_once: int) -> tuple[float, float, float]:
    """Calls per second, and milliseconds within which half and 99 % of them were answered."""
    parts, left, took = urlsplit(url), iter(requests), list[float]()

    async def work() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        for body in left:
            began = time.perf_counter()
            writer.write(b"POST /virtual HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert head.startswith(b"http/1.1 200"), head
            await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))
            took.append(time.perf_counter() - began)
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(at_once)))
    seconds = time.perf_counter() - began
    took.sort()
    return len(took) / seconds, took[len(took) // 2] * 1000, took[len(took) * 99 // 100] * 1000


def peak_mb(process: int) -> float:
    status = Path(f"/proc/{process}/status")
    return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024 if status.exists() else float("nan")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    command = [sys.executable, "-m", "alpha_umi.cli", "world", "serve", "--port", "0", "--cache", "replies.sqlite"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        for number, at_once in enumerate((16, 64, 256)):
            requests = bodies(count, number * count)
            for name in ("world", "cache"):
                rate, half, most = asyncio.run(ask(url, requests, at_once))
                print(
                    f"{name}, {at_once} at once: {rate:.0f} calls/s ({rate / PEER:.0f} times the published client's), "
                    f"50 % in {half:.0f} ms, 99 % in {most:.0f} ms"
                )
        print(f"peak memory of the server: {peak_mb(server.pid):.0f} MB")
        server.send_signal(signal.SIGINT)
        print(server.communicate()[0].strip())


if __name__ == "__main__":
    main()

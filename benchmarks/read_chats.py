"""Reading OpenAI-shaped rows: time and memory beside a plain loop, and beside a peer's loader.

    python benchmarks/read_chats.py [--count 100000] [--peer PYTHON]

The plain loop does the same work on one core with the json module alone: it reads the file, converts all rows and keeps
them, then writes the trajectories. PYTHON is the interpreter of an environment with ms-swift, whose `load_dataset`
reads the same file in one process. Each runs in a process of its own; CPU seconds, so that other work does not count.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

OURS = "from alpha_umi.jobs.prepare import prepare; start = time.process_time(); prepare.openai([{source!r}], {out!r})"
PLAIN = """
import json
from pathlib import Path
from alpha_umi.datasets.chats import Origin
from alpha_umi.datasets.shapes import SHAPES, read_as
from alpha_umi.store import dump_line, encode_trajectory
start = time.process_time()
lines = Path({source!r}).read_text().splitlines()
rows = [json.loads(line) for line in lines]
file = {{"source": "openai", "file": "rows.jsonl"}}
origins = (Origin(task_id=f"rows-{{n}}", metadata=file) for n in range(len(rows)))
found = [one for row, origin in zip(rows, origins) for one in read_as(SHAPES["openai"], row, origin)]
Path({out!r}).write_text("".join(dump_line(encode_trajectory(one.trajectory)) for one in found))
"""
PEER = "from swift.dataset import load_dataset; start = time.process_time(); load_dataset([{source!r}], num_proc=1)"


def row(number: int) -> dict:
    """A row with three tools, two parallel calls, and an answer: 1.5 kB."""
    tools = [
        {
            "type": "function",
            "function": {
                "name": f"realtime_aqi{(number + which) % 97}",
                "description": "Real-time air quality of a city, including PM2.5 and PM10",
                "parameters": {
                    "type": "object",
                    "properties": {"city": {"type": "string", "description": "City name, e.g., Shanghai"}},
                    "required": ["city"],
                },
            },
        }
        for which in range(3)
    ]
    name = tools[0]["function"]["name"]
    calls = [
        {"id": f"call_{n}", "type": "function", "function": {"name": name, "arguments": json.dumps({"city": city})}}
        for n, city in enumerate(("Beijing", "Shanghai"))
    ]
    messages = [
        {"role": "system", "content": "You help."},
        {"role": "user", "content": f"How is the air in Beijing today, and in Shanghai? ({number})"},
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "call_0", "content": '{"aqi": 10}'},
        {"role": "tool", "tool_call_id": "call_1", "content": '{"aqi": 72}'},
        {"role": "assistant", "content": "Beijing is fine at 10, Shanghai at 72."},
    ]
    return {"messages": messages, "tools": tools}


def digest(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def measure(python: str, body: str) -> tuple[float, float]:
    """CPU seconds and MiB of a process."""
    used = "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss"
    code = f"import resource, time\n{body}\nprint(time.process_time() - start, {used})"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    seconds, kib = done.stdout.split()[-2:]
    return float(seconds), float(kib) / 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--peer")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source, out = str(Path(folder) / "rows.jsonl"), str(Path(folder) / "out.jsonl")
        with Path(source).open("w") as file:
            for number in range(options.count):
                file.write(json.dumps(row(number)) + "\n")
        listed = str(Path(folder) / "rows.json")
        with Path(source).open() as lines, Path(listed).open("w") as file:
            for number, line in enumerate(lines):  # never whole in memory, which a child's measure would count
                file.write(f"{',' if number else '['}{line.rstrip()}")
            file.write("]")
        measured = {"ours": measure(sys.executable, OURS.format(source=source, out=out))}
        kept = digest(out)
        measured["ours, one JSON list"] = measure(sys.executable, OURS.format(source=listed, out=out))
        measured["plain loop"] = measure(sys.executable, PLAIN.format(source=source, out=out))
        assert kept == digest(out)
        if options.peer:
            measured["ms-swift"] = measure(options.peer, PEER.format(source=source))
    for name, (seconds, mib) in measured.items():
        each = f"{seconds:8.2f} s CPU  {1e6 * seconds / options.count:7.1f} us a row  {mib:7.0f} MiB"
        print(f"{name:20} {each}  {seconds / measured['ours'][0]:6.2f}x")


if __name__ == "__main__":
    main()

"""Serve tools over HTTP and let an agent call them there: a virtual ToolBench and a client on one machine.

    python examples/serve_and_connect.py

`umi world serve` answers ToolBench's protocol; here its replies are computed by the sealed world, whose queries are
asked. The agent is the world's oracle; name a run directory as the argument to see your own agent call the tools.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import alpha_umi as umi

UMI = [sys.executable, "-m", "alpha_umi.cli"]


def main() -> None:
    agent = sys.argv[1] if len(sys.argv) > 1 else "oracle"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        count = ["--preset", "small", "--set", "G1_tool", "--count", "3"]
        subprocess.run([*UMI, "world", "write", "--out", str(folder / "world"), *count], check=True, stdout=sys.stderr)
        serve = [*UMI, "world", "serve", "--preset", "small", "--port", "0", "--cache", str(folder / "replies.sqlite")]
        with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as server:
            try:
                address = (server.stdout or sys.stdin).readline().strip()  # the first line is the address
                print("served at", address)
                connect(folder / "world" / "queries" / "G1_tool.json", folder / "run", address, agent)
            finally:
                server.terminate()


def connect(queries: Path, out: Path, address: str, agent: str) -> None:
    """Roll out all queries; every tool call goes to the address."""
    done = umi.rollout(queries, out, env=address, agent=agent)
    print(f"{done.all.tasks} tasks, {done.all.answered} answered, {done.all.calls} calls over HTTP")
    for set_name, counts in done.sets.items():
        print(set_name, counts.to_json())


if __name__ == "__main__":
    main()

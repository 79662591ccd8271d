"""Command lines as forks of one process that has imported what training needs: the imports take seconds each time.

    python tests/support/forks.py

Reads orders from standard input and answers each by a line, both JSON. `{"words": ["train", ...], "cwd": "...",
"ranks": [{"RANK": "0"}], "log": "...", "file_bytes": null}` starts a process for every rank, with these variables, in
one group: `{"pids": [7, 8]}`. `{"pids": [7, 8]}` asks for exit codes, null while one runs: `{"codes": [0, null]}`.
"""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

from alpha_umi import cli
from support.commands import environment
from support.folders import SOURCES, TESTS

GRACE_S = 60.0
"""Time in which the other ranks end by themselves after one has failed."""


class Forked:
    """Processes of a command, as `subprocess.Popen` shows one: the first one's id is that of their group."""

    def __init__(self, ask, pids, log):
        self._ask, self._pids, self._log = ask, pids, log
        self.pid, self.returncode = pids[0], None
        self._codes = [None] * len(pids)

    def poll(self):
        """Exit code when all have ended: of the first that failed, else 0."""
        if self.returncode is None and any(map(has_ended, self._pids)):
            self._codes = self._ask({"pids": self._pids})["codes"]
            if None not in self._codes:
                self.returncode = next(filter(None, self._codes), 0)
        return self.returncode

    def communicate(self, timeout=600):
        """What all wrote on the standard output and on stderr, once they have ended."""
        until = time.monotonic() + timeout
        while self.poll() is None:
            if any(self._codes):
                until = min(until, time.monotonic() + GRACE_S)
            if time.monotonic() > until:
                if not any(self._codes):
                    raise subprocess.TimeoutExpired("forked", timeout)
                os.killpg(self.pid, signal.SIGKILL)
            time.sleep(0.01)
        return tuple(Path(f"{self._log}.{name}").read_text(errors="replace") for name in ("out", "err"))


def has_ended(pid):
    """Tell it without asking the process that forked it: a test may wait for a moment of a millisecond."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


class Forks:
    """A context manager; the process is started with the first command."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory()
        self._parent, self._started = None, 0

    def __enter__(self):
        return self

    def start(self, *words, cwd, processes=1, file_bytes=None):
        """A command under way. `processes`: how many share it, as torchrun starts them. `file_bytes`: of any file."""
        self._started += 1
        log = f"{self._folder.name}/{self._started}"
        order = {"words": [*map(str, words)], "cwd": str(cwd), "log": log, "file_bytes": file_bytes}
        return Forked(self._ask, self._ask(order | {"ranks": ranks(processes)})["pids"], log)

    def _ask(self, order):
        if self._parent is None:
            path = os.pathsep.join(map(str, (SOURCES, TESTS)))
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            self._parent = subprocess.Popen([sys.executable, __file__], env=environment(PYTHONPATH=path), **pipes)
        self._parent.stdin.write(json.dumps(order) + "\n")
        self._parent.stdin.flush()
        return json.loads(self._parent.stdout.readline())

    def __exit__(self, *_):
        if self._parent is not None:
            self._parent.communicate(timeout=60)
        self._folder.cleanup()


def ranks(processes):
    """Variables of each process; none where it is alone."""
    if processes == 1:
        return [{}]
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port.getsockname()[1])}
    size = {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
    return [place | size | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)]


# --- the process that forks -------------------------------------------------------------------------------


def work(order, variables):
    """A forked process: runs the command and ends."""
    code = 1
    try:
        for number, name in ((1, "out"), (2, "err")):
            opened = os.open(f"{order['log']}.{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(opened, number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir(order["cwd"])
        os.environ.update(variables)
        if order["file_bytes"] is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_bytes"],) * 2)
        sys.argv = ["umi", *order["words"]]
        cli.main()
        code = 0
    except SystemExit as stopped:
        code = stopped.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def fork(order):
    """Start the processes of an order; their ids."""
    pids = []
    for variables in order["ranks"]:
        child = os.fork()
        if child == 0:
            work(order, variables)
        os.setpgid(child, pids[0] if pids else child)
        pids.append(child)
    return pids


def answer_all():
    codes = {}
    for line in sys.stdin:
        order = json.loads(line)
        if "words" in order:
            told = {"pids": fork(order)}
        else:
            for pid in order["pids"]:
                if pid not in codes:
                    ended, status = os.waitpid(pid, os.WNOHANG)
                    codes |= {pid: os.waitstatus_to_exitcode(status)} if ended else {}
            told = {"codes": [codes.get(pid) for pid in order["pids"]]}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    import accelerate  # noqa: F401
    import peft  # noqa: F401
    import torch._dynamo  # noqa: F401
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast, Trainer  # noqa: F401

    from alpha_umi.training import glpft  # noqa: F401

    answer_all()

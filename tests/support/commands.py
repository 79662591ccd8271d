"""The real command line: in a process of its own, where exit codes, signals and limits matter, or in this one."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from alpha_umi import cli
from support.folders import SOURCES

LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
del sys.argv[1]
from alpha_umi.cli import main
main()
"""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


def environment(**more):
    return os.environ | {
        "PYTHONPATH": str(SOURCES),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        **more,
    }


def start(*arguments, cwd, module="alpha_umi.cli", file_bytes=None, shard=None):
    """A command under way. `file_bytes`: no file may grow beyond, as on a full disk. `shard`: rank and world size."""
    how = ["-m", module] if file_bytes is None else ["-c", LIMITED, str(file_bytes)]
    return subprocess.Popen(
        [sys.executable, *how, *map(str, arguments)],
        cwd=cwd,
        env=environment() if shard is None else environment(RANK=str(shard[0]), WORLD_SIZE=str(shard[1])),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process, timeout_s=600):
    """`timeout_s` is for what hangs; a busy machine is to stay far below it."""
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return Ended(code=process.returncode, out=out, err=err)


def run(*arguments, **how):
    return ended(start(*arguments, **how))


def run_here(*arguments, cwd="."):
    """A command in this process, so that torch is loaded once."""
    out, err = stream(), stream()
    argv, sys.argv = sys.argv, ["umi", *map(str, arguments)]
    try:
        with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main()
        code = 0
    except SystemExit as stopped:
        code = stopped.code or 0
    finally:
        sys.argv = argv
    return Ended(code=code, out=written(out), err=written(err))


def stream(content=b""):
    """Standard stream in memory, with the bytes under its text as a real one has them."""
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline="", write_through=True)


def written(of):
    of.flush()
    return of.buffer.getvalue().decode()


def interrupt_when(ready, process, number=signal.SIGINT, timeout_s=600):
    """Signal the whole group, as a terminal does, as soon as `ready()`; returns how it ended."""
    until = time.monotonic() + timeout_s
    while not ready() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    if process.poll() is None:
        os.killpg(process.pid, number)
    return ended(process)


def left_in(folder, timeout_s=60):
    """Processes that work in a folder and do not end in time."""

    def works_in(link):
        try:
            return link.readlink() == folder
        except OSError:  # it has ended, or is another user's
            return False

    until = time.monotonic() + timeout_s
    while (
        left := [entry for entry in Path("/proc").glob("[0-9]*/cwd") if works_in(entry)]
    ) and time.monotonic() < until:
        time.sleep(0.05)
    return left

"""Worker process of the sandbox: a warm interpreter that forks a confined child for every program.

Run by `pool` as a file of its own, without the package. It imports what its argument names: nothing, numpy, sympy with
numpy, or math_verify, the judge of exact answers. A fork costs what its worker holds (2 ms of the processor for a bare
one, 5 with sympy), so that programs get a worker with no more than they name. It confines itself, and answers requests
on its standard input one after the other; no program ever runs in it. Messages are JSON behind their length (4 bytes,
big-endian):

    hello    {"missing": [...], "scratch": FOLDER} or {"refused": REASON}; the folder is for the pool to remove
    request  {"earlier": [CODE, ...], "code": CODE, "wall_s", "cpu_s", "memory_bytes", "output_bytes"}
    reply    {"ending": ok | error | timeout | output | killed, "output": TEXT, "signal": NAME, "seconds": NUMBER}

`earlier` are the programs of the branch so far: they run again, their output dropped, so that their variables are
there. The child holds no channel but its output, so that a program can lie about nothing but what it prints.
"""

from __future__ import annotations

import ast
import ctypes
import gc
import importlib.util
import json
import os
import random
import select
import signal
import struct
import sys
import time
import traceback
from pathlib import Path
from types import CodeType
from typing import Any

import confinement  # pyright: ignore  # the file beside this one, for the package is not imported here

_FILE = "<program>"
_FAILED = 1
_MOST_REQUEST = 1 << 24
_USUAL = "cmath collections copy dataclasses datetime decimal fractions functools heapq itertools math operator re "
_USUAL += "statistics string"
"""Modules of the standard library that programs of word problems import."""
_HUGE, _COLLAPSE = 2 << 20, 25
"""Bytes of a huge page, and madvise's number for making them."""


def main() -> None:
    requests, replies, null = os.dup(0), os.dup(1), os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    try:
        libraries = _import_libraries()
        confined = confinement.Confinement(libraries)
    except (confinement.ConfinementError, OSError, ImportError) as error:
        _send(replies, {"refused": str(error)})
        return
    _send(replies, {"missing": confined.missing, "scratch": "" if confined.own_root else confined.scratch})
    while (request := _receive(requests)) is not None:
        _send(replies, _run(confined, request, requests, null))
        confined.clean()


def _import_libraries() -> list[str]:
    """Import what programs use, so that forks need not; the folders that later imports read."""
    import sysconfig

    sys.path = [path for path in sys.path if path != str(Path(__file__).parent)]
    warm = sys.argv[1]
    names = ["numpy", "sympy", "mpmath"]
    if warm == "math_verify":
        names += ["math_verify", "latex2sympy2_extended", "antlr4"]
    found = [importlib.util.find_spec(name) for name in names]
    packages = [str(Path(spec.origin).parent) for spec in found if spec is not None and spec.origin is not None]
    if len(packages) < len(found):
        raise ImportError(f"{warm or 'sympy'} is not installed; in the clone: pip install -e '.[math]'")
    beside = [f"{packages[0]}.libs"]
    for module in _USUAL.split():
        importlib.import_module(module)
    if warm:
        import numpy

        numpy.random.seed(0)
    if warm in ("sympy", "math_verify"):
        _warm_sympy()
    if warm == "math_verify":
        _warm_math_verify()
    gc.collect()
    gc.freeze()  # forks copy no page for the collector's sake
    gc.set_threshold(100_000, 20, 100)  # programs are short
    _collapse_pages()
    return [each for each in (sysconfig.get_path("stdlib"), *packages, *beside) if Path(each).is_dir()]


def _collapse_pages() -> None:
    """Make the heap one of huge pages where the kernel can: a fork copies one entry for each in place of 512."""
    libc = ctypes.CDLL(None)
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, rights, _, _, _, *name = line.split(None, 5)
        if rights != "rw-p" or name not in ([], ["[heap]"]):
            continue
        start, end = (int(address, 16) for address in addresses.split("-"))
        for page in range(-(-start // _HUGE) * _HUGE, end - _HUGE + 1, _HUGE):
            libc.madvise(ctypes.c_void_p(page), ctypes.c_size_t(_HUGE), _COLLAPSE)


def _warm_sympy() -> None:
    """Import sympy, with what its usual functions import and cache."""
    import sympy

    x, y = sympy.symbols("x y")
    matrix = sympy.Matrix([[1, 2], [3, 4]]).inv()
    solved = sympy.solve(x**2 - 8), sympy.solve(x**2 - 3 * x + 2, x), sympy.solve([x + y - 5, x - y - 1], [x, y])
    _ = matrix, str(solved), sympy.integrate(x**2, x), sympy.diff(x**2, x), sympy.simplify(x), sympy.factorint(60)
    _ = str(sympy.solve(sympy.Eq(2 * x, 6), x)), str(sympy.Rational(1, 3) + sympy.sqrt(2)), sympy.expand((x + 1) ** 2)


def _warm_math_verify() -> None:
    """Import the judge of exact answers, with the parser that its first question builds."""
    import math_verify

    math_verify.verify(math_verify.parse("\\boxed{\\frac{1}{2}}"), math_verify.parse("\\boxed{0.5}"))


def _receive(source: int) -> Any:
    """The next message; None at the end."""
    head = _read(source, 4)
    length = struct.unpack(">I", head)[0] if len(head) == 4 else 0
    body = _read(source, length) if 0 < length <= _MOST_REQUEST else b""
    return json.loads(body) if body and len(body) == length else None


def _read(source: int, count: int) -> bytes:
    data = b""
    while len(data) < count and (more := os.read(source, count - len(data))):
        data += more
    return data


def _send(target: int, message: object) -> None:
    body = json.dumps(message).encode()
    data = struct.pack(">I", len(body)) + body
    while data:
        data = data[os.write(target, data) :]


def _run(confined: Any, request: Any, requests: int, null: int) -> dict[str, object]:
    started = time.monotonic()
    source, target = os.pipe()
    child = os.fork()
    if child == 0:
        _become_program(confined, request, target, null)
    os.close(target)
    ending, output = _watch(child, source, requests, started + request["wall_s"], request["output_bytes"])
    os.close(source)
    _, status = os.waitpid(child, 0)
    name = ""
    if not ending:
        code = os.waitstatus_to_exitcode(status)
        name = signal.Signals(-code).name if code < 0 else ""
        spent = code in (-signal.SIGXCPU, -signal.SIGKILL)
        ending = "ok" if code == 0 else "error" if code > 0 else "timeout" if spent else "killed"
    text = output[: request["output_bytes"]].decode("utf-8", "replace")
    return {"ending": ending, "output": text, "signal": name, "seconds": round(time.monotonic() - started, 4)}


def _watch(child: int, source: int, requests: int, end: float, most: int) -> tuple[str, bytes]:
    """Read a child's output until it ends; the reason for which it was killed, or nothing."""
    output, ended = b"", False
    process = os.pidfd_open(child)
    poll = select.poll()
    poll.register(source, select.POLLIN)
    poll.register(process, select.POLLIN)
    poll.register(requests, 0)  # a pool that is gone
    try:
        while True:
            ready = dict(poll.poll(0 if ended else max(0, int(1000 * (end - time.monotonic())) + 1)))
            if source in ready:
                more = os.read(source, 65536)
                output += more
                if len(output) > most:
                    return _kill(child, "output"), output
                if not more:
                    poll.unregister(source)
            elif ended:
                return "", output
            if process in ready:
                ended = True
            if requests in ready:
                return _kill(child, "killed"), output
            if not ended and time.monotonic() >= end:
                return _kill(child, "timeout"), output
    finally:
        os.close(process)


def _kill(child: int, reason: str) -> str:
    os.kill(child, signal.SIGKILL)
    return reason


# --- in the child -----------------------------------------------------------------------------------------


def _become_program(confined: Any, request: Any, target: int, null: int) -> None:
    """Run the programs of a request in this process, which then ends."""
    code = _FAILED
    try:
        os.dup2(null, 1)
        os.dup2(null, 2)
        os.closerange(3, target)
        os.closerange(target + 1, 1024)
        confined.confine_program(request["cpu_s"], request["memory_bytes"])
        random.seed(0)  # as numpy's in the worker: a program that runs again draws the same
        variables: dict[str, object] = {"__name__": "__main__", "__builtins__": __builtins__}
        for earlier in request["earlier"]:
            _execute(earlier, variables)
            sys.stdout.flush()
        os.dup2(target, 1)
        os.dup2(target, 2)
        os.close(target)
        code = _execute(request["code"], variables)
        sys.stdout.flush()
    except BaseException:  # noqa: S110  # whatever it is, this process ends here
        pass
    finally:
        os._exit(code)


def _execute(code: str, variables: dict[str, object]) -> int:
    """Run one program as a notebook's cell: the value of a last expression is shown. 0, or 1 after an exception."""
    try:
        body, last = _compile(code)
        exec(body, variables)  # noqa: S102
        value = eval(last, variables) if last is not None else None  # noqa: S307
        if value is not None:
            print(value)  # noqa: T201
    except SystemExit as error:
        return 0 if error.code in (None, 0) else _FAILED
    except BaseException as error:
        sys.stdout.flush()
        os.write(1, _explain(error).encode("utf-8", "replace"))
        return _FAILED
    return 0


def _compile(code: str) -> tuple[CodeType, CodeType | None]:
    tree = ast.parse(code, _FILE)
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr):
        return compile(tree, _FILE, "exec"), None
    tree.body.pop()
    return compile(tree, _FILE, "exec"), compile(ast.Expression(last.value), _FILE, "eval")


def _explain(error: BaseException) -> str:
    """An exception with the program's line that raised it."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == _FILE]
    at = f" (line {lines[-1]})" if lines else ""
    return f"{''.join(traceback.format_exception_only(error)).strip().splitlines()[-1]}{at}\n"


if __name__ == "worker":  # as the pool starts it
    main()

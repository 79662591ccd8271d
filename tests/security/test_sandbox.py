"""Sandbox of the Python tool: harmless probes of every kind are stopped, told, and leave the workers well."""

import asyncio
import json
import os
import time
from pathlib import Path

import pytest

import alpha_umi as umi
from alpha_umi.environments.sandbox.environment import SandboxEnvironment
from alpha_umi.environments.sandbox.pool import Ending, ProgramLimits, SandboxPool

SYSCALL = "import ctypes, os\nr = ctypes.CDLL(None, use_errno=True).syscall({})\nassert r == -1, r\nprint('denied')"
TRY = "try:\n    {}\nexcept BaseException as e:\n    print('denied', type(e).__name__)\nelse:\n    print('THROUGH')"
STATEMENTS = {
    # network
    "inet socket": "import socket; socket.socket()",
    "udp socket": "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "ipv6 socket": "import socket; socket.socket(socket.AF_INET6)",
    "unix socket": "import socket; socket.socket(socket.AF_UNIX)",
    "socket pair": "import socket; socket.socketpair()",
    "raw socket": "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "netlink": "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "connection to this machine": "import socket; socket.create_connection(('127.0.0.1', 80), timeout=1)",
    # files
    "passwords": "open('/etc/passwd').read()",
    "a file of the package": "open({here!r}).read()",
    "the status of a file": "import os; os.stat('/etc/passwd')",
    "a folder": "import os; os.listdir('/etc')",
    "the home folder": "import os; os.listdir('/home')",
    "processes": "import os; os.listdir('/proc')",
    "devices": "open('/dev/zero').read(1)",
    "a parent folder": "open('../etc/passwd').read()",
    "a symbolic link": "import os; os.symlink('/etc/passwd', 'link'); open('link').read()",
    "a hard link": "import os; os.link('/etc/passwd', 'hard')",
    "writing to libraries": "import sympy; open(sympy.__file__, 'a').write('#')",
    "writing to the root": "open('/new', 'w').write('x')",
    "temporary folder": "open('/tmp/probe', 'w').write('x')",
    "shared memory": "open('/dev/shm/probe', 'w').write('x')",
    "changing the owner": "import os; open('f', 'w').close(); os.chown('f', 1, 1)",
    "a device of one's own": "import os, stat; os.mknod('d', 0o600 | stat.S_IFBLK, os.makedev(8, 0))",
    "another root": "import os; os.chroot('.')",
    "a large file": "open('big', 'wb').write(b'x' * (32 << 20))",
    "many files": "[open(f'f{{i}}', 'w').close() for i in range(5000)]",
    "many open files": "l = [open('f', 'w') for _ in range(500)]",
    # processes
    "fork": "import os; os.fork()",
    "subprocess": "import subprocess; subprocess.run(['true'])",
    "exec": "import os; os.execv('/bin/true', ['true'])",
    "spawn": "import os; os.posix_spawn('/bin/true', ['true'], {{}})",
    "multiprocessing": "import multiprocessing as m; m.get_context('fork').Process(target=print).start()",
    "thread": "import threading; threading.Thread(target=print).start()",
    "a signal to the worker": "import os, signal; os.kill(os.getppid(), signal.SIGTERM)",
    "a signal to all": "import os; os.kill(-1, 15)",
    "priority": "import os; os.nice(-5)",
    "a higher limit": "import resource; resource.setrlimit(resource.RLIMIT_CPU, (99, 99))",
    "another user": "import os; os.setuid(0)",
    "another session": "import os; os.setsid()",
    # memory
    "much memory": "x = 'a' * (4 << 30)",
    "much memory of numpy": "import numpy; numpy.ones((1 << 30,))",
}  # fmt: skip
CALLS = {
    "ptrace": "101, 16, os.getppid()",
    "reading another process": "310, os.getppid(), 0, 0, 0, 0, 0",
    "unshare": "272, 0x10000000",
    "mount": "165, b'none', b'/scratch', b'tmpfs', 0, None",
    "bpf": "321, 0, 0, 0",
    "keyring": "250, 0, 0, 0",
    "io_uring": "425, 8, 0",
    "memory file": "319, b'x', 0",
    "performance counters": "298, 0, 0, -1, -1, 0",
    "a second seccomp": "317, 1, 0, 0",
    "reboot": "169, 0, 0, 0, 0",
    "user fault descriptor": "323, 0",
    "process descriptor": "434, os.getppid(), 0",
    "clock": "227, 0, 0",
}
SHORT = ProgramLimits(wall_s=0.5, cpu_s=5)


@pytest.fixture(scope="module")
def pool():
    with_workers = SandboxPool(1)
    yield with_workers
    with_workers.close()


@pytest.mark.parametrize("kind", ["statements", "system calls"])
def test_probes_of_sockets_files_processes_and_memory_are_all_denied(pool, kind):
    if kind == "statements":
        here = str(Path(umi.__file__))
        programs = {name: TRY.format(code.format(here=here)) for name, code in STATEMENTS.items()}
    else:
        if os.uname().machine != "x86_64":
            pytest.skip("the numbers are those of x86_64")
        programs = {name: SYSCALL.format(arguments) for name, arguments in CALLS.items()}
    outputs = {name: pool.run(code).output for name, code in programs.items()}
    assert {name: text for name, text in outputs.items() if not text.startswith("denied")} == {}
    assert pool.run("6*7").output == "42\n"


def test_there_are_at_least_forty_probes():
    assert len(STATEMENTS) + len(CALLS) >= 50


@pytest.mark.parametrize(
    ("code", "ending"),
    [
        ("while True: pass", Ending.TIMEOUT),
        ("import time\nwhile True: time.sleep(9)", Ending.TIMEOUT),
        ("import os\nos.close(1); os.close(2)\nwhile True: pass", Ending.TIMEOUT),
        ("import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass", Ending.TIMEOUT),
        ("10**10**10", Ending.TIMEOUT),
        ("while True: print('x' * 1000)", Ending.OUTPUT),
        ("import os\nwhile True: os.write(2, b'x' * 1000)", Ending.OUTPUT),
        ("import ctypes\nctypes.string_at(0)", Ending.KILLED),
        ("import os\nos.abort()", Ending.KILLED),
        ("import os\nos._exit(3)", Ending.ERROR),
        ("x = [0]\nwhile True: x += x", Ending.ERROR),
        ("def f(): return f()\nf()", Ending.ERROR),
        ("(" * 100_000, Ending.ERROR),
        ("\0", Ending.ERROR),
        ("'\ud800'.encode()", Ending.ERROR),
    ],
)
def test_programs_that_never_end_crash_or_flood_are_stopped(pool, code, ending):
    started = time.monotonic()
    assert pool.run(code, (), SHORT).ending in (ending, Ending.TIMEOUT)  # on a loaded machine time may be over first
    assert time.monotonic() - started < 10
    assert pool.run("1+1").output == "2\n"


def test_limits_count_the_seconds_of_the_processor_and_waiting_is_none_of_them(pool):
    place = SandboxEnvironment(pool, ProgramLimits(cpu_s=1))
    assert run(place, "import time\ntime.sleep(1.2)\n'waited'").content == "waited"
    stopped = run(place, "while True: pass")
    assert stopped.status is umi.ToolStatus.TIMEOUT
    assert stopped.content == "stopped: the program took over 1 s of the processor"
    waited = run(SandboxEnvironment(pool, ProgramLimits(wall_s=0.3)), "import time\ntime.sleep(9)")
    assert waited.content == "stopped: the program took over 0.3 s"


def test_programs_have_numpy_sympy_and_their_seeds_in_every_worker_that_holds_them(pool):
    draw = "import {}\nprint(__import__('num' + 'py').random.random(), {}.__name__)"
    seen = [pool.run(draw.format(name, name)).output.split()[0] for name in ("numpy", "sympy")]
    assert seen[0] == seen[1]


def test_nothing_of_one_program_reaches_the_next(pool, monkeypatch):
    monkeypatch.setenv("SECRET", "of the caller")
    pool.run("import builtins, sympy, os\nbuiltins.len = None\nsympy.pi = 3\nopen('left', 'w').write('x')\nx = 1")
    seen = pool.run("import os, sympy\nprint(len('ab'), sympy.pi, os.listdir('.'), 'x' in globals(), dict(os.environ))")
    assert seen.output.startswith("2 pi [] False")
    assert "SECRET" not in seen.output
    assert pool.run("import os\nprint(sorted(set(range(3, 64)) & {i for i in range(3, 64) if os.fstat(i)}))").ending


def test_a_lost_worker_is_replaced(pool):
    pool.run("1")
    pool._idle[""][0]._process.kill()
    assert pool.run("1").ending is Ending.KILLED
    assert pool.run("1+1").output == "2\n"


# --- the tool ---------------------------------------------------------------------------------------------


def run(environment, code):
    return asyncio.run(environment.execute(umi.Call(name="python", arguments=json.dumps({"code": code}))))


def test_variables_are_kept_by_branch_and_fork_with_the_search(pool):
    trunk = SandboxEnvironment(pool)
    run(trunk, "x = 1\nimport random\ny = random.random()")
    branch = trunk.fork()
    run(branch, "x = x + 1")
    run(trunk, "x = x + 10\nopen('note', 'w').write('kept')\nprint('not shown again')")
    assert run(branch, "x").content == "2"
    assert run(trunk, "print(x, open('note').read())").content == "11 kept"
    assert run(trunk, "y") == run(branch, "y")


def test_a_program_that_raised_is_of_the_branch_and_one_that_was_stopped_is_not(pool):
    place = SandboxEnvironment(pool, SHORT)
    failed = run(place, "a = 5\nb = a / 0")
    assert failed.status is umi.ToolStatus.ERROR
    assert failed.content == "ZeroDivisionError: division by zero (line 2)"
    assert run(place, "a = 6\nwhile True: pass").status is umi.ToolStatus.TIMEOUT
    assert run(place, "a").content == "5"


def test_programs_in_fences_and_values_of_last_lines_are_read(pool):
    place = SandboxEnvironment(pool)
    code = "```python\nimport sympy\nx = sympy.Symbol('x')\nsympy.solve(x**2 - 2)\n```"
    assert run(place, code).content == "[-sqrt(2), sqrt(2)]"
    assert run(place, "x = 3").content == "(no output)"
    assert asyncio.run(place.execute(umi.Call(name="python", arguments="{}"))).status is umi.ToolStatus.BAD_ARGUMENTS
    assert asyncio.run(place.execute(umi.Call(name="other", arguments="{}"))).status is umi.ToolStatus.UNKNOWN_TOOL


def test_what_the_system_lacks_is_said(pool):
    assert pool.missing == () or all(isinstance(each, str) for each in pool.missing)

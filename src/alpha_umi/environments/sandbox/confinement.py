"""Confinement of a worker process by the kernel: namespaces, a root of its own, Landlock, seccomp, limits.

Linux alone; standard library alone, for a worker imports this file by itself. `confine` acts on the calling process
for good and tells what the system lacks; `confine_program` acts on a child that is about to run a program.

* Namespaces: no network interface but a dead loopback; a root that holds the read-only libraries and a scratch folder.
* Landlock, where no such root can be made: files can be opened in the same folders alone (their names outside can be
  tested, not their contents).
* seccomp (libseccomp): an allow-list of system calls; none for sockets, processes, signals, mounts or owners of files.
* rlimits: processor time, memory, size and number of files.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import os
import resource
import shutil
import struct
import tempfile
from pathlib import Path

SCRATCH = "/scratch"
SCRATCH_BYTES, _SCRATCH_FILES = 16 << 20, 1024
_NAMESPACES = {"user": 0x10000000, "mount": 0x20000, "network": 0x40000000, "ipc": 0x08000000, "uts": 0x04000000}
_READONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _DETACH = 1, 2, 4, 8, 32, 4096, 2
_RECURSIVE_PRIVATE = 0x4000 | 0x40000
_KEPT_FLAGS = {1024: 1024, 2048: 2048, 4096: 1 << 21, 2: _NOSUID, 4: _NODEV, 8: _NOEXEC}
"""Flags of statvfs -> the same of mount; a namespace may not drop them."""
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_CAPSET = {"x86_64": 126, "aarch64": 91}
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_LANDLOCK_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""Version of Landlock's interface -> the number of its file rights."""
_LANDLOCK_READ = 0b1100
"""Reading files and folders; running them is not among it."""
_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER = 38, 22, 2
_DENY, _ALLOW = 0x00050001, 0x7FFF0000
"""libseccomp's actions: fail with EPERM, and go on."""
_CALLS = """
access alarm brk chdir clock_getres clock_gettime clock_nanosleep close close_range dup dup2 dup3 exit exit_group
faccessat faccessat2 fallocate fcntl fdatasync fstat fstatfs fsync ftruncate futex futex_waitv getcwd getdents
getdents64 getegid geteuid getgid getitimer getpgrp getpid getppid getrandom getrusage getsid gettid gettimeofday
getuid lseek lstat madvise membarrier mincore mkdir mkdirat mmap mprotect mremap munmap nanosleep newfstatat open
openat openat2 pipe pipe2 poll ppoll pread64 preadv pselect6 pwrite64 pwritev read readlink readlinkat readv rename
renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn sched_getaffinity
sched_yield select set_robust_list setitimer sigaltstack stat statfs statx symlink symlinkat sysinfo time times
truncate umask uname unlink unlinkat write writev
"""
_WITHOUT_ROOT = "files outside cannot be opened, but tested for; scratch files are not counted"
_libc = ctypes.CDLL(None, use_errno=True)


class ConfinementError(Exception):
    """Confinement that this system cannot give; the message says what is missing."""


class Confinement:
    """Confinement of this process and of the programs that it forks.

    `missing`: protections that the system lacks though programs are safe without them. `own_root`: files are confined
    by a root of their own; else by Landlock.
    """

    def __init__(self, libraries: list[str]) -> None:
        """Confine this process to `libraries` (folders, read only) and a scratch folder.

        Raises ConfinementError where files, or network and processes, cannot be confined.
        """
        self.missing: list[str] = []
        # Counted before /proc is gone: the memory of programs comes on top.
        self._size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        self._program = _Filter()
        self.own_root = self._enter_namespaces(libraries)
        self.scratch = SCRATCH if self.own_root else tempfile.mkdtemp(prefix="umi-sandbox-")
        if not self.own_root and not _restrict_files(libraries, self.scratch):
            Path(self.scratch).rmdir()
            raise ConfinementError("neither user namespaces nor Landlock are to be had, so that files are not confined")

    def _enter_namespaces(self, libraries: list[str]) -> bool:
        owner = os.geteuid(), os.getegid()
        if _libc.unshare(ctypes.c_int(sum(_NAMESPACES.values()))) != 0:
            self.missing.append(f"namespaces ({os.strerror(ctypes.get_errno())}): {_WITHOUT_ROOT}")
            return False
        try:
            for name, text in (
                ("setgroups", "deny"),
                ("uid_map", f"65534 {owner[0]} 1"),
                ("gid_map", f"65534 {owner[1]} 1"),
            ):
                Path(f"/proc/self/{name}").write_text(text)
            _change_root(libraries)
        except OSError as error:
            self.missing.append(f"a root of its own ({error.strerror}): {_WITHOUT_ROOT}")
            return False
        return True

    def confine_program(self, cpu_s: int, memory_bytes: int) -> None:
        """Confine this process, a fresh child, for good: limits, no privileges, seccomp."""
        os.chdir(self.scratch)
        for limit, value in (
            (resource.RLIMIT_CPU, cpu_s),
            (resource.RLIMIT_AS, self._size + memory_bytes),
            (resource.RLIMIT_FSIZE, SCRATCH_BYTES),
            (resource.RLIMIT_NOFILE, 64),
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_MEMLOCK, 0),
        ):
            resource.setrlimit(limit, (value, value))
        _drop_capabilities()
        _check(_libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
        _check(_libc.prctl(_SET_SECCOMP, _FILTER, self._program.address, 0, 0))

    def clean(self) -> None:
        """Empty the scratch folder."""
        if not any(Path(self.scratch).iterdir()):
            return
        if self.own_root:
            _check(_libc.umount2(SCRATCH.encode(), _DETACH))
            _mount_scratch()
            return
        for entry in Path(self.scratch).iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink()


def _check(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    texts = [text.encode() if text is not None else None for text in (source, target, kind, options)]
    _check(_libc.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3]))


def _mount_scratch() -> None:
    options = f"size={SCRATCH_BYTES},nr_inodes={_SCRATCH_FILES}"
    _mount("tmpfs", SCRATCH, "tmpfs", _NOSUID | _NODEV | _NOEXEC, options)


def _change_root(libraries: list[str]) -> None:
    """Make a root of a fresh tmpfs with the libraries, read only, and an empty folder where scratch is mounted."""
    # Folders are opened first: the new root may hide their paths.
    opened = [(path, os.open(path, os.O_PATH | os.O_DIRECTORY)) for path in libraries]
    _mount(None, "/", None, _RECURSIVE_PRIVATE)
    new = tempfile.gettempdir()
    _mount("tmpfs", new, "tmpfs", _NOSUID | _NODEV, "size=1m")
    for path, folder in opened:
        target = new + path
        Path(target).mkdir(parents=True, exist_ok=True)
        _mount(f"/proc/self/fd/{folder}", target, None, _BIND)
        kept = os.statvfs(target).f_flag
        flags = sum(flag for seen, flag in _KEPT_FLAGS.items() if kept & seen)
        _mount(None, target, None, _BIND | _REMOUNT | _READONLY | flags | _NOSUID | _NODEV)
        os.close(folder)
        for inner in ("site-packages", "dist-packages"):
            if Path(target, inner).is_dir():
                _mount("tmpfs", f"{target}/{inner}", "tmpfs", _READONLY | _NOSUID | _NODEV, "size=4k")
    Path(new + SCRATCH).mkdir(exist_ok=True)
    os.chdir(new)
    number = _PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise OSError(0, f"unknown machine {os.uname().machine}")
    _check(_libc.syscall(ctypes.c_long(number), b".", b"."))
    _check(_libc.umount2(b".", _DETACH))
    os.chdir("/")
    _mount(None, "/", None, _REMOUNT | _BIND | _READONLY | _NOSUID | _NODEV)
    _mount_scratch()


def _restrict_files(libraries: list[str], scratch: str) -> bool:
    """Restrict which files can be opened, by Landlock; False where the kernel has none."""
    version = _libc.syscall(ctypes.c_long(_LANDLOCK_CREATE), None, ctypes.c_size_t(0), ctypes.c_uint(1))
    if version < 1:
        return False
    every = (1 << _LANDLOCK_RIGHTS.get(version, 16)) - 1
    attributes = struct.pack("Q", every)
    rules = _libc.syscall(ctypes.c_long(_LANDLOCK_CREATE), attributes, ctypes.c_size_t(len(attributes)), 0)
    if rules < 0:
        return False
    for path, rights in (*((path, _LANDLOCK_READ) for path in libraries), (scratch, every & ~1)):
        folder = os.open(path, os.O_PATH)
        rule = struct.pack("=Qi", rights, folder)
        _check(_libc.syscall(ctypes.c_long(_LANDLOCK_ADD), rules, 1, rule, 0))
        os.close(folder)
    _check(_libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    _check(_libc.syscall(ctypes.c_long(_LANDLOCK_RESTRICT), rules, 0))
    os.close(rules)
    return True


class _Filter:
    """seccomp filter of programs, made once by libseccomp: a `sock_fprog` at `address`."""

    def __init__(self) -> None:
        try:
            library = ctypes.CDLL(ctypes.util.find_library("seccomp") or "libseccomp.so.2")
        except OSError:
            raise ConfinementError("libseccomp is not installed (Debian: libseccomp2)") from None
        library.seccomp_init.restype = ctypes.c_void_p
        rules = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_DENY)))
        for name in _CALLS.split():
            number = library.seccomp_syscall_resolve_name(name.encode())
            if number >= 0:  # below: another machine's
                library.seccomp_rule_add_array(rules, ctypes.c_uint32(_ALLOW), number, 0, None)
        with tempfile.TemporaryFile() as file:
            if library.seccomp_export_bpf(rules, file.fileno()) != 0:
                raise ConfinementError("libseccomp makes no filter")
            file.seek(0)
            code = file.read()
        if _libc.prctl(_SET_SECCOMP, _FILTER, None, 0, 0) == 0 or ctypes.get_errno() != errno.EFAULT:
            raise ConfinementError("the kernel has no seccomp filters")
        self._code = ctypes.create_string_buffer(code, len(code))
        header = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(self._code))
        self._header = ctypes.create_string_buffer(header, len(header))
        self.address = ctypes.c_void_p(ctypes.addressof(self._header))


def _drop_capabilities() -> None:
    header = struct.pack("Ii", 0x20080522, 0)
    _check(_libc.syscall(ctypes.c_long(_CAPSET[os.uname().machine]), header, struct.pack("6I", *[0] * 6)))

"""Every verb killed at random moments and run again: is the result that of a run that nobody killed?

    python benchmarks/kills.py [--tries 5] [--verbs "rollout,prepare toolbench"] [--seed 0]

Of each verb one run is let alone. Then, `--tries` times: the verb is started in a fresh folder, killed (SIGKILL to its
whole process group) at a random moment of the time that a run takes, and started again with --resume where it has that.
The files of both runs are compared, without what tells of time. Also counted: files that hold half of something right
after the kill (JSON, JSON Lines but for a last line that is cut) and parts that are left over at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_TIMES = re.compile(
    r'"(seconds|created|started|train_runtime|train_\w+_per_second|time|at|took)": ?[^,}\n]*|\d+\.\d+ ?s\b|\d:\d\d:\d\d'
)
"""What differs between any two runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """Command of a verb in a folder with `w` (tasks of the tiny world); it writes `out`."""

    command: Sequence[str]
    resume: Sequence[str] = ()
    """What the command is given the second time."""
    compared: Sequence[str] = ("out*",)
    """Patterns of the files that make up the result."""
    unordered: Sequence[str] = ()
    """Names of files whose lines come in the order in which they were finished."""


_TRAIN = ("--set", "data.train='w/train.jsonl'", "--set", "data.validation='w/train.jsonl'", "--set", "out='out'",
          "--set", "save_every=2")  # fmt: skip
VERBS = {
    "world write": Verb(command=("world", "write", "--count", "300", "--out", "out")),
    "world pages": Verb(command=("world", "pages", "--count", "2000", "--out", "out.jsonl")),
    "prepare toolbench": Verb(command=("prepare", "toolbench", "--answers", "w/train/answer", "--out", "out.jsonl")),
    "prepare mask": Verb(command=("prepare", "mask", "w/train.jsonl", "--out", "out.jsonl")),
    "prepare rollouts": Verb(command=("prepare", "rollouts", "run", "--out", "out.jsonl")),
    "rollout": Verb(
        command=("rollout", "--agent", "oracle", "--queries", "w/train.jsonl", "--env", "world", "--out", "out"),
        resume=("--resume",),
        unordered=("rollouts.jsonl",),
    ),
    "judge convert": Verb(command=("judge", "convert", "run", "--out", "out")),
    "judge pass": Verb(command=("judge", "pass", "answers", "--world", "--name", "oracle", "--out", "out")),
    "judge report": Verb(command=("judge", "report", "passes", "--out", "out.json")),
    "report": Verb(command=("report", "run", "--out", "out.html")),
    "evaluate static": Verb(command=("evaluate", "static", "predictions.json", "--out", "out.json")),
    "export": Verb(
        command=(
            "export",
            "--trajectories",
            "w/train.jsonl",
            "--role",
            "planner",
            "--format",
            "shared",
            "--out",
            "out.json",
        )
    ),
    "predict": Verb(
        command=("predict", "--agent", "umi-tiny", "--data", "w/train.jsonl", "--limit", "12", "--out", "out.json"),
        compared=("out.json",),
    ),
    "train": Verb(command=("train", "tiny", *_TRAIN), resume=("--resume",), compared=("out/**/*.safetensors",)),
    "pretrain": Verb(
        command=("pretrain", "base-tiny", "--set", "texts='pages.jsonl'", "--set", "out='out'"),
        resume=("--resume",),
        compared=("out/**/*.safetensors",),
    ),
    "export agent": Verb(command=("export", "agent", "made", "--world", "tiny", "--out", "out")),
    "study": Verb(command=("study", "study.toml", "--out", "out"), compared=("out/**/*.safetensors", "out/*.md")),
}
_STUDY = """
name = "smallest"
seeds = [0]
recipe = "tiny"
baseline = "one"

[world]
preset = "tiny"
train = 12
max_calls = 1
hallucinated = 0.0

[static]
in_domain = ["test"]
unseen = []
tasks = 1

[live]
sets = ["test"]
tasks = 1
max_steps = 1
max_completions = 2
strategies = ["chain"]

[budget]
tokens = 1_000
tolerance = 0.2 # a step takes whole trajectories

[bases.nothing.tiny]
hidden_size = 16
layers = 1
heads = 2
vocab_size = 400
max_position = 1024

[train]
log_every = 1
stages = { backbone = { batch_size = 2 } }

[variants.one]
title = "One model"
train = { method = "single" }
"""
"""The smallest study: one variant of a base of 16 dimensions, a thousand tokens, one task of each kind."""
_NEEDED: dict[str, Sequence[Sequence[str]]] = {
    "run": [("rollout", "--agent", "oracle", "--queries", "w/train.jsonl", "--env", "world", "--out", "run")],
    "answers": [("judge", "convert", "run", "--out", "answers")],
    "passes": [("judge", "pass", "answers", "--world", "--name", "oracle", "--out", "passes")],
    "predictions.json": [
        ("predict", "--agent", "umi-tiny", "--data", "w/train.jsonl", "--limit", "8", "--out", "predictions.json")
    ],
    "pages.jsonl": [("world", "pages", "--count", "300", "--out", "pages.jsonl")],
    "made": [("train", "tiny", *_TRAIN[:-4], "--set", "out='made'")],
}
"""Commands that make what other verbs read, by its name."""


@dataclass(slots=True)
class Tally:
    """Counts of one verb."""

    tries: int = 0
    killed: int = 0
    """Tries in which the verb was still at work."""
    differing: list[str] = field(default_factory=list[str])
    half_written: list[str] = field(default_factory=list[str])
    left_over: list[str] = field(default_factory=list[str])
    failed: list[str] = field(default_factory=list[str])

    @property
    def failures(self) -> int:
        return len({*self.differing, *self.half_written, *self.left_over, *self.failed})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbs", default=",".join(VERBS))
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="alpha_umi_kills_") as folder:
        home = Path(folder)
        _run(("world", "write", "--count", "60", "--out", "w"), home)
        (home / "study.toml").write_text(_STUDY)
        wanted = options.verbs.split(",")
        for name, commands in _NEEDED.items():
            if any(name in word for verb in wanted for word in _words(verb)):
                for command in commands:
                    _run(command, home)
        failures = 0
        for verb in wanted:
            tally = try_verb(VERBS[verb], home, options.tries, chance)
            failures += tally.failures
            print(f"{verb:<18} tries {tally.tries:>3}  killed {tally.killed:>3}  failures {tally.failures}", flush=True)
            for problem in (*tally.differing, *tally.half_written, *tally.left_over, *tally.failed):
                print(f"    {problem}")
    sys.exit(1 if failures else 0)


def _words(verb: str) -> list[str]:
    needs = {"judge pass": ["run"], "judge report": ["run", "answers"]}
    return [*VERBS[verb].command, *needs.get(verb, ())]


def try_verb(verb: Verb, home: Path, tries: int, chance: random.Random) -> Tally:
    """Kill a verb `tries` times, each in a folder of its own beside what it reads."""
    whole = _desk(home, "whole")
    started = time.monotonic()
    _run(verb.command, whole)
    took = time.monotonic() - started
    expected, tally = _result(verb, whole), Tally()
    for number in range(tries):
        desk, tally.tries = _desk(home, "killed"), tally.tries + 1
        process = _start(verb.command, desk)
        at = chance.uniform(0.2, 1.0) * took
        try:
            process.wait(at)
        except subprocess.TimeoutExpired:
            tally.killed += 1
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        where = f"try {number} at {at:.2f} s"
        tally.half_written += [f"{where}: half of {path}" for path in _half_written(desk)]
        # A run that had not begun has nothing to resume.
        begun = (desk / "out").is_dir() and any((desk / "out").iterdir())
        again = _start((*verb.command, *(verb.resume if begun else ())), desk)
        _, err = again.communicate(timeout=1200)
        if again.returncode:
            tally.failed.append(f"{where}: the next run ended with {again.returncode}: {err.strip()[-200:]}")
            continue
        found = _result(verb, desk)
        odd = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        if odd:
            tally.differing.append(f"{where}: {len(odd)} of {len(expected)} files differ: {', '.join(odd[:3])}")
        tally.left_over += [f"{where}: left over: {each.relative_to(desk)}" for each in desk.rglob("*.part")]
    return tally


def _desk(home: Path, name: str) -> Path:
    """A fresh folder that reads what `home` holds."""
    desk = home / "desks" / name
    shutil.rmtree(desk, ignore_errors=True)
    desk.mkdir(parents=True)
    for entry in home.iterdir():
        if entry.name != "desks" and not entry.name.startswith("."):
            (desk / entry.name).symlink_to(entry)
    return desk


def _result(verb: Verb, desk: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for pattern in verb.compared:
        for top in desk.glob(pattern):
            for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
                if path.is_file() and not path.name.startswith("."):
                    data = path.read_bytes()
                    text: object = (
                        data if path.suffix == ".safetensors" else _TIMES.sub("", data.decode("utf-8", "replace"))
                    )
                    if path.name in verb.unordered and isinstance(text, str):
                        text = sorted(text.splitlines())
                    found[str(path.relative_to(desk))] = text
    return found


def _half_written(desk: Path) -> list[str]:
    """Files that no reader could read; the last line of a file that grows may be cut."""
    odd: list[str] = []
    for path in desk.rglob("*"):
        if path.is_symlink() or not path.is_file() or path.name.startswith("."):
            continue
        text = path.read_bytes()
        rows = [text] if path.suffix == ".json" else text.split(b"\n")[:-1] if path.suffix == ".jsonl" else []
        try:
            for row in rows:
                json.loads(row)
        except ValueError:
            odd.append(str(path.relative_to(desk)))
    return odd


def _start(command: Sequence[str], folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "alpha_umi", *command],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONHASHSEED": "0"},
    )


def _run(command: Sequence[str], folder: Path) -> None:
    process = _start(command, folder)
    _, err = process.communicate()
    if process.returncode:
        raise SystemExit(f"umi {' '.join(command)} ended with {process.returncode}: {err[-500:]}")


if __name__ == "__main__":
    main()

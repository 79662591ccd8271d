"""Training that is killed, starved of disk or spread over processes: the same weights, and no half of a file."""

import json
import os
import random
import re
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from alpha_umi.store import write_trajectories
from support.commands import ended, run_here, start
from support.forks import Forks
from support.stages import distance, gold

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="signals to a process group, limits of file sizes"),
]

CONFIG = """
max_length = 400
log_every = 1
save_every = 2
device = "cpu"
report_to = []
[data]
train = "t.jsonl"
[model.tiny]
hidden_size = 32
layers = 2
heads = 2
vocab_size = 400
max_position = 400
[stages]
backbone = { max_steps = 9, batch_size = 4, learning_rate = 3e-3, optimizer = "muon" }
planner = { max_steps = 3, batch_size = 4, learning_rate = 1e-3 }
caller = { max_steps = 2, batch_size = 4, learning_rate = 1e-3 }
summarizer = { max_steps = 2, batch_size = 4, learning_rate = 1e-3 }
"""
TORCHRUN = ("--standalone", "--nproc-per-node", "2", "-m", "alpha_umi.cli")


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A configuration, its data, and what an uninterrupted run of one process makes of them."""
    folder = tmp_path_factory.mktemp("desk")
    write_trajectories(folder / "t.jsonl", gold())
    (folder / "c.toml").write_text(CONFIG)
    whole = trains(folder, "whole")
    assert whole.code == 0, whole.err
    return folder


@pytest.fixture(scope="module")
def forks():
    with Forks() as started:
        yield started


def command(out, *more, resume=False):
    return ("train", "c.toml", "--set", f"out={out}", *more, *(["--resume"] if resume else []))


def trains(desk, out, *more, resume=False):
    return run_here(*command(out, *more, resume=resume), cwd=desk)


def models(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.glob("*/model.safetensors")}


def kill_when(ready, process, linger_s):
    """SIGKILL to the whole group as soon as `ready()` and a little later; whether it still ran."""
    while not ready() and process.poll() is None:
        time.sleep(0.0005)
    time.sleep(linger_s)
    running = process.poll() is None
    if running:
        os.killpg(process.pid, signal.SIGKILL)
    ended(process)
    return running


def size(*paths):
    return sum(path.stat().st_size for path in paths if path.exists())


def lines(path):
    return path.read_text().count("\n") if path.exists() else 0


TRIES = 5
MOMENTS = {
    "inside a step": lambda out, dice: (
        lambda step: lambda: lines(out / "history" / "backbone.jsonl") >= step
    )(dice.randint(2, 7)),
    "inside a checkpoint": lambda out, dice: (
        lambda step: lambda: (out / ".backbone.checkpoints" / f".checkpoint-{step}.part" / "state").exists()
    )(dice.choice([2, 4, 6, 8])),
    "while a folder is written": lambda out, dice: (
        lambda name: lambda: any((out / f".{name}.part").glob("*"))
    )(dice.choice(["backbone", "planner"])),
    "between stages": lambda out, dice: (lambda name: lambda: (out / name / "done.json").exists())(
        dice.choice(["backbone", "planner"])
    ),
    "while tokens are cached": lambda out, dice: (
        lambda kept: lambda: size(*(out / "cache").glob("tokens-*/*.tokens")) > kept
    )(dice.randint(100, 3000)),
}  # fmt: skip


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_goes_on_to_the_weights_of_an_uninterrupted_one(desk, forks, moment):
    seed = int(os.environ.get("FAULT_SEED", random.randrange(1 << 30)))
    print(f"FAULT_SEED={seed}")
    dice, out = random.Random(f"{seed} {moment}"), desk / moment.replace(" ", "-")
    ready, linger_s = MOMENTS[moment](out, dice), dice.uniform(0, 0.01)
    for _ in range(TRIES):
        if kill_when(ready, forks.start(*command(out.name), cwd=desk), linger_s):
            break
        shutil.rmtree(out)  # this process slept through the moment
    else:
        pytest.fail("every run ended before it was killed")
    assert not (out / "umi.toml").exists()
    if moment == "while tokens are cached":
        for path in (out / "cache").glob("tokens-*/*.tokens"):
            os.truncate(path, path.stat().st_size - 7)  # as when the machine itself went down
    again = trains(desk, out.name, resume=True)
    assert again.code == 0, again.err
    assert models(out) == models(desk / "whole")
    assert len(models(out)) == 4
    assert not list(out.glob(".*"))


# --- disks ------------------------------------------------------------------------------------------------


def killed_after_a_checkpoint(desk, forks, out):
    process = forks.start(*command(out.name), cwd=desk)
    assert kill_when(lambda: (out / ".backbone.checkpoints" / "checkpoint-4").exists(), process, 0)
    return max(path.name for path in (out / ".backbone.checkpoints").glob("checkpoint-*"))


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_full_disk_keeps_the_checkpoint_before_and_says_where_and_how_much_is_needed(desk, forks):
    out = desk / "full"
    last = out / ".backbone.checkpoints" / killed_after_a_checkpoint(desk, forks, out)
    kept = contents(last)
    full = ended(forks.start(*command(out.name, resume=True), cwd=desk, file_bytes=300_000))
    assert full.code == 7, full.err
    missed = f"{out.name}/.backbone.checkpoints/checkpoint-{int(last.name[11:]) + 2}: cannot be written: "
    (told,) = [line for line in full.err.splitlines() if line.startswith("error:")]
    assert missed in told
    assert re.search("File too large|is the disk full", told)
    assert "about 0.4 MB are needed; whole checkpoints stay" in told
    assert contents(last) == kept
    assert trains(desk, out.name, resume=True).code == 0
    assert models(out) == models(desk / "whole")


# --- numbers ----------------------------------------------------------------------------------------------


def test_a_loss_that_is_no_number_is_the_user_s_to_mend(desk):
    told = trains(
        desk, "no-number", "--set", "stages.backbone.learning_rate=1e30", "--set", "stages.backbone.warmup_ratio=0"
    )
    assert told.code == 2
    assert len(told.err.splitlines()) == 1
    assert told.err.startswith(
        "error: backbone: the norm of the gradient is nan at step 2 on trajectories tiny-0-train-"
    )
    assert not (desk / "no-number" / "backbone").exists()


# --- processes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shard", ["true", "false"])
def test_two_processes_learn_the_weights_of_one(desk, forks, shard):
    out = desk / f"two-{shard}"
    done = ended(forks.start(*command(out.name, "--set", f"spread.shard={shard}"), cwd=desk, processes=2))
    assert done.code == 0, done.err
    for name in ("backbone", "planner", "caller", "summarizer"):
        assert distance(out / name, desk / "whole" / name) < 1e-5
    assert (out / "history" / "backbone.jsonl").read_text().count("\n") == 9


ADAPTERS = (
    "data.validation=v.jsonl", "validate_every=2", "adapter.kind=alora", "adapter.rank=4", "stages.roles.max_steps=6",
    "stages.roles.batch_size=6", "stages.roles.learning_rate=0.002", "stages.roles.early_stop=1",
    "stages.backbone.early_stop=1", "stages.roles.warmup_ratio=0",
)  # fmt: skip


def test_two_processes_learn_the_adapters_of_one_and_validate_alike(desk, forks):
    write_trajectories(desk / "v.jsonl", gold()[-3:])
    more = [word for setting in ADAPTERS for word in ("--set", setting)]
    assert trains(desk, "adapters", *more).code == 0
    two = ended(forks.start(*command("two-adapters", *more), cwd=desk, processes=2))
    assert two.code == 0, two.err
    for role in ("planner", "caller", "summarizer"):
        one, other = (
            load_file(desk / out / "roles" / role / "adapter_model.safetensors") for out in ("adapters", "two-adapters")
        )
        assert distance(one, other) < 1e-5
        assert max(weight.abs().max().item() for name, weight in one.items() if "lora_B" in name) > 1e-3
    assert distance(desk / "adapters" / "backbone", desk / "two-adapters" / "backbone") < 1e-5
    told = [json.loads((desk / out / "metrics.json").read_text()) for out in ("adapters", "two-adapters")]
    for stage in ("backbone", "roles"):
        one, other = (metrics[stage]["result"] for metrics in told)
        assert one["validation"] == pytest.approx(other["validation"], abs=1e-5)
        assert [one[name] for name in ("steps", "examples", "alone")] == [
            other[name] for name in ("steps", "examples", "alone")
        ]


def test_two_processes_learn_in_bfloat16_what_one_does(desk, forks):
    more = [word for setting in (*ADAPTERS[2:4], "dtype=bfloat16") for word in ("--set", setting)]
    assert trains(desk, "narrow", *more).code == 0
    two = ended(forks.start(*command("two-narrow", *more), cwd=desk, processes=2))
    assert two.code == 0, two.err
    one, other = (json.loads((desk / out / "metrics.json").read_text()) for out in ("narrow", "two-narrow"))
    assert one["backbone"]["result"]["loss"] == pytest.approx(other["backbone"]["result"]["loss"], rel=0.02)


def test_what_two_processes_began_one_goes_on_with(desk):
    out = desk / "two-then-one"
    process = start(*TORCHRUN, *command(out.name), cwd=desk, module="torch.distributed.run")
    assert kill_when(lambda: (out / ".backbone.checkpoints" / "checkpoint-4").exists(), process, 0.01)
    end_orphans(desk, out)
    again = trains(desk, out.name, resume=True)
    assert again.code == 0, again.err
    for name in ("backbone", "planner", "caller", "summarizer"):
        assert distance(out / name, desk / "whole" / name) < 1e-5


def end_orphans(desk, out):
    """torchrun's processes have sessions of their own; kill those of this test that train into `out`."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words, here = (entry / "cmdline").read_bytes().split(b"\0"), (entry / "cwd").readlink() == desk
        except OSError:
            continue
        if here and f"out={out.name}".encode() in words:
            os.kill(int(entry.name), signal.SIGKILL)

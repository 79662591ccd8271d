"""Two processes train what one trains, checkpoints do not know how many wrote them, and no fault leaves half of one."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from alpha_umi.errors import StorageError
from alpha_umi.training import distributed
from alpha_umi.training.optimizer import MuonWithAdamW
from support.folders import SOURCES, SUPPORT

KINDS = {
    "adamw": {"optimizer": "adamw", "max_grad_norm": 0},
    "muon": {"optimizer": "muon", "tied": True},
    "adapters": {"optimizer": "adamw", "adapters": True, "gradient_checkpointing": True},
    "whole": {"optimizer": "muon", "shard": False},
    "whole-adapters": {"optimizer": "adamw", "adapters": True, "shard": False},
    "adapters-muon": {"optimizer": "muon", "adapters": True, "reshard": False},
}


@pytest.fixture(scope="module")
def launch():
    """Training in so many processes: `launch(processes, {folder: options})` returns their exit codes and words."""
    driver = subprocess.Popen(
        [sys.executable, "-W", "error::UserWarning:alpha_umi", SUPPORT / "spread_driver.py"],
        env=os.environ | {"PYTHONPATH": str(SOURCES), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def run(processes, jobs):
        order = {"processes": processes, "jobs": {str(out): options for out, options in jobs.items()}}
        driver.stdin.write(json.dumps(order) + "\n")
        driver.stdin.flush()
        return SimpleNamespace(**json.loads(driver.stdout.readline()))

    yield run
    driver.communicate(timeout=60)


@pytest.fixture(scope="module")
def trained(launch):
    def run(processes, jobs):
        ended = launch(processes, jobs)
        assert not any(ended.codes), ended.err
        return [(json.loads((out / "history.json").read_text()), load_file(out / "final.safetensors")) for out in jobs]

    return run


def largest_difference(first, second):
    assert first.keys() == second.keys()
    return max((first[name] - second[name]).abs().max().item() for name in first)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, trained):
    """Every kind, uninterrupted, by one process and by two: {(kind, processes): (folder, history, weights)}."""
    found = {}
    for processes in (1, 2):
        root = tmp_path_factory.mktemp(f"by-{processes}")
        results = trained(processes, {root / kind: options for kind, options in KINDS.items()})
        found |= {(kind, processes): (root / kind, *result) for kind, result in zip(KINDS, results, strict=True)}
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_lose_and_learn_what_one_does(runs, kind):
    _, alone, weights = runs[kind, 1]
    _, together, same_weights = runs[kind, 2]
    assert len(alone["losses"]) == 6
    assert together["losses"] == pytest.approx(alone["losses"], abs=1e-5)
    assert together["norms"] == pytest.approx(alone["norms"], abs=1e-5)
    assert largest_difference(weights, same_weights) < 1e-5
    assert alone["held"] == 1
    assert together["held"] == pytest.approx(0.5 if KINDS[kind].get("shard", True) else 1, abs=0.02)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_training_moves_weights_far_more_than_processes_differ(runs):
    for kind in KINDS:
        folder, _, weights = runs[kind, 1]
        written = folder / "checkpoint-4" / "state"
        then = {"model": {name: torch.empty_like(weights[name]) for name in stored_names(written)}}
        torch.distributed.checkpoint.load(then, checkpoint_id=written, no_dist=True)
        assert largest_difference(then["model"], {name: weights[name] for name in then["model"]}) > 2e-4


def stored_names(folder):
    metadata = torch.distributed.checkpoint.FileSystemReader(folder).read_metadata()
    return {name.removeprefix("model.") for name in metadata.state_dict_metadata if name.startswith("model.")}


@pytest.mark.slow
def test_a_checkpoint_holds_trained_weights_once_and_frozen_ones_not_at_all(runs):
    tied = stored_names(runs["muon", 2][0] / "checkpoint-4" / "state")
    assert "model.embed_tokens.weight" in tied
    assert "lm_head.weight" not in tied
    adapters = stored_names(runs["adapters", 2][0] / "checkpoint-4" / "state")
    assert "model.layers.0.self_attn.q_proj.up.1" in adapters
    assert "model.layers.0.self_attn.q_proj.linear.weight" not in adapters


@pytest.mark.slow
@pytest.mark.parametrize(("wrote", "reads"), [(2, 1), (1, 2)])
def test_a_checkpoint_goes_on_under_another_number_of_processes(runs, trained, tmp_path, wrote, reads):
    for kind in KINDS:
        shutil.copytree(runs[kind, wrote][0] / "checkpoint-4", tmp_path / kind / "checkpoint-4")
    results = trained(reads, {tmp_path / kind: options for kind, options in KINDS.items()})
    for kind, (history, weights) in zip(KINDS, results, strict=True):
        _, whole, expected = runs[kind, 1]
        assert history["resumed"] == ["checkpoint-4"]
        assert history["losses"] == pytest.approx(whole["losses"][4:], abs=1e-5)
        assert largest_difference(weights, expected) < 1e-5


@pytest.mark.slow
def test_a_killed_process_leaves_the_last_checkpoint_whole_and_the_run_goes_on_bit_for_bit(
    runs, launch, trained, tmp_path
):
    in_step, in_save = tmp_path / "in step", tmp_path / "in save"
    for folder, fault in ((in_step, {"die_in_step": 5}), (in_save, {"die_while_saving": 6})):
        ended = launch(2, {folder: KINDS["muon"] | fault})
        assert -signal.SIGKILL in ended.codes
        assert [path.name for path in distributed.checkpoints(folder)] == ["checkpoint-2", "checkpoint-4"]
    assert (in_save / ".checkpoint-6.part" / "state" / ".metadata").exists()
    for history, weights in trained(2, {in_step: KINDS["muon"], in_save: KINDS["muon"]}):
        assert history["resumed"][-1] == "checkpoint-4"
        assert largest_difference(weights, runs["muon", 2][2]) == 0
    assert not list(in_save.glob(".checkpoint-*"))


@pytest.mark.slow
def test_a_full_disk_under_one_process_ends_all_and_keeps_the_last_checkpoint(launch, tmp_path):
    ended = launch(2, {tmp_path / "run": KINDS["adamw"] | {"disk_full_at": 3}})
    assert ended.codes == [1, 1], ended.err
    assert "checkpoint-4: cannot be written: File too large; about 0.2 MB are needed" in ended.err
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["checkpoint-2"]


@pytest.mark.slow
def test_processes_that_start_from_different_weights_are_stopped(launch, tmp_path):
    ended = launch(2, {tmp_path / "run": KINDS["adamw"] | {"unseeded": True}})
    assert ended.codes == [1, 1], ended.err
    assert "the processes start from different weights" in ended.err


# --- alone ------------------------------------------------------------------------------------------------


def small():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(7, 9), nn.Linear(9, 5))
    matrices = [weight for weight in model.parameters() if weight.ndim == 2]
    biases = [weight for weight in model.parameters() if weight.ndim == 1]
    optimizer = MuonWithAdamW([{"params": matrices, "muon": True, "lr": 0.02}, {"params": biases, "lr": 0.01}])
    return model, optimizer


def take_steps(model, optimizer, steps):
    for step in steps:
        distributed.reseed(5, step)
        model(torch.randn(4, 7)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()


def test_what_is_saved_and_loaded_goes_on_bit_for_bit(tmp_path):
    model, optimizer = small()
    take_steps(model, optimizer, range(3))
    with distributed.whole_folder(tmp_path / "kept") as part:
        distributed.save_state(part, model, optimizer)
    take_steps(model, optimizer, range(3, 6))
    other, other_optimizer = small()
    distributed.load_state(tmp_path / "kept", other, other_optimizer)
    take_steps(other, other_optimizer, range(3, 6))
    assert largest_difference(model.state_dict(), other.state_dict()) == 0


def write_then(fail, folder):
    with distributed.whole_folder(folder, size=3_000_000) as part:
        (part / "half").write_text("half")
        fail(part)


def test_a_folder_that_fails_half_way_never_takes_its_place(tmp_path):
    model, optimizer = small()
    take_steps(model, optimizer, range(1))
    (tmp_path / "kept").mkdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def save_on_a_full_disk(part):
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
        try:
            distributed.save_state(part, model, optimizer)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    with pytest.raises(StorageError, match=r"kept: cannot be written: File too large; about 3\.0 MB are needed"):
        write_then(save_on_a_full_disk, tmp_path / "kept")
    with pytest.raises(ZeroDivisionError):
        write_then(lambda part: 1 / 0, tmp_path / "kept")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert not list((tmp_path / "kept").iterdir())


@pytest.mark.parametrize("max_norm", [0.1, 1e6, float("inf")])
def test_clipping_is_that_of_torch(max_norm):
    model, _ = small()
    other, _ = small()
    for each in (model, other):
        each(torch.arange(28.0).view(4, 7)).square().sum().backward()
    norm = distributed.clip(model.parameters(), max_norm)
    assert norm == pytest.approx(nn.utils.clip_grad_norm_(other.parameters(), max_norm).item())
    for weight, same in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(weight.grad, same.grad)


def test_state_bytes_counts_weights_and_optimizer_state():
    model, optimizer = small()
    take_steps(model, optimizer, range(1))
    matrices, biases = 7 * 9 + 9 * 5, 9 + 5
    assert distributed.state_bytes(model, optimizer) == 4 * (2 * matrices + 3 * biases + len(optimizer.state) // 2)

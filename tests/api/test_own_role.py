"""The example of a fourth role: trained by the usual recipe, asked live, its turn shown."""

import subprocess
import sys
from pathlib import Path

import pytest

from support.commands import environment

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_role.py"


@pytest.mark.slow
def test_a_critic_is_trained_on_a_dozen_trajectories_and_reviews_live(tmp_path):
    ended = subprocess.run(
        [sys.executable, EXAMPLE, tmp_path], env=environment(), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert len((tmp_path / "reviewed.jsonl").read_text().splitlines()) == 12
    assert (tmp_path / "run" / "roles" / "critic" / "adapter_model.safetensors").exists()
    reviews = [line for line in ended.stdout.splitlines() if line.lstrip().startswith("critic ")]
    assert reviews
    assert all(line.endswith(("→ accepted", "→ sent back")) for line in reviews)

"""Faults that no model is needed to find are told before torch is imported."""

import json
import os
import subprocess
import sys

import pytest

from alpha_umi.cli import main

COMMANDS = [
    ("rollout --agent umi-tiny --queries q.jsonl --env world --out r --strategy nonsense", "no strategy 'nonsense'"),
    ("rollout --agent umi-tiny --queries none --env world --out r", "no such file"),
    ("rollout --agent umi-tiny --queries empty.jsonl --env world --out r", "holds no query"),
    ("ask what --strategy nonsense", "no strategy 'nonsense'"),
    ("predict --agent umi-tiny --data none.jsonl --out p.json", "no such file"),
    ("predict --agent umi-tiny --data empty.jsonl --out p.json", "holds no step"),
    ("train tiny --set data.train=none.jsonl --set out=out", "no such file"),
    ("train tiny --set data.train=empty.jsonl --set out=out", "no trajectories to learn from"),
    ("train tiny --plan --set data.train=empty.jsonl --set out=out", "no trajectories to learn from"),
    ("pretrain base-small --set texts=empty.jsonl --set out=out", "no texts to learn from"),
]
PROGRAM = """
import contextlib, io, json, shlex, sys
from alpha_umi.cli.app import main
found = []
for command in json.loads(sys.stdin.read()):
    sys.argv = ["umi", *shlex.split(command)]
    with contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            main()
        except SystemExit as ended:
            found.append([command, ended.code, err.getvalue(), "torch" in sys.modules])
print(json.dumps(found))
"""


def test_what_no_model_is_needed_for_is_said_before_torch_is_imported(tmp_path):
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "q.jsonl").write_text('{"id": "1", "query": "what", "tools": []}\n')
    asked = json.dumps([command for command, _ in COMMANDS])
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], input=asked, capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert ended.returncode == 0, ended.stderr
    for (command, code, err, with_torch), (_, said) in zip(json.loads(ended.stdout), COMMANDS, strict=True):
        assert code in (2, 3), (command, err)
        assert said in err, (command, err)
        assert not with_torch, command
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.jsonl", "q.jsonl"]


@pytest.mark.parametrize(("given", "kept"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_waiting_threads_do_not_spin_unless_they_are_told_to(given, kept, monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
    monkeypatch.setattr("sys.argv", ["umi", "--version"])
    with pytest.raises(SystemExit):
        main()
    assert os.environ["OMP_WAIT_POLICY"] == kept
    monkeypatch.delenv("OMP_WAIT_POLICY")

"""What a user can get wrong: one line that says so, an exit code of its own, nothing half-written."""

import json
import os
import re
import sys

import pytest

from alpha_umi import cli
from alpha_umi.store import write_trajectories
from alpha_umi.world import Split, World
from support.commands import Ended, run

AGENT = '[roles.planner]\nmodel = "./gone"\n[roles.caller]\nmodel = "./gone"\n[roles.summarizer]\nmodel = "./gone"\n'
ENDPOINT = ("--base-url", "http://127.0.0.1:9/v1", "--model", "m")
FILES = {
    "agent.toml": f'format = "shared"\n{AGENT}',
    "misspelt.toml": f'format = "shared"\nmax_imput_tokens = 3\n{AGENT}',
    "formatless.toml": f'format = "sharde"\n{AGENT}',
    "broken.toml": 'format = "shared"\nroles = ?\n',
    "alone.toml": 'format = "shared"\n[roles.planner]\nmodel = "./gone"\n',
    "broken.json": '[\n  {"a" 1}\n]',
    "long_number.json": f"[{'1' * 5000}]",
    "long_number.jsonl": f"{{}}\n{'1' * 5000}\n",
    "deep.jsonl": "[" * 100_000,
    "object.json": '{"a": 1}',
    "rows.json": '[{"a": 1}]',
    "empty.json": "[]",
    "empty.jsonl": "",
    "latin.jsonl": b"\xe9\n",
    "cut.jsonl.gz": b"\x1f\x8b\x08\x00",
    "toolless.py": "x = 1\n",
    "raises.py": 'raise RuntimeError("not\\ntoday")\n',
    "unfinished.py": "def f(:\n",
    "broken/G1_answer/1_a.json": '{"a": 1,\n "b" 2}',
    "useless/G2_answer/1_a.json": '{"answer_generation": {"valid_data": true}}',
    "run/config.toml": "",
}
CASES = [
    # what is run, exit code, what the error says
    ("prepare toolbench --answers gone --out out", 3, "gone: is no directory"),
    ("prepare toolbench --answers run --out out", 3, "run: has none of the directories G1_answer"),
    ("prepare toolbench --answers broken --out out", 3, r"1_a\.json:2:6: broken JSON"),
    ("prepare toolbench --answers useless --out out", 3, "no usable answer: .*no train_messages"),
    ("prepare toolbench --answers broken --out out --compat alpha", 2, "--compat 'alpha' is not known"),
    ("prepare processed gone.json --out out", 3, "gone.json: no such file"),
    ("prepare processed broken.json --out out", 3, r"broken\.json:2:8: broken JSON"),
    ("prepare processed long_number.json --out out", 3, r"long_number\.json:1: JSON with a number too long"),
    ("prepare processed rows.json --out out", 3, "rows.json: row 0: not a dialogue"),
    ("prepare processed run --out out", 3, "run: is a directory; a file is needed"),
    ("export --trajectories gone --role planner --format shared --out out", 3, "gone: no such file"),
    ("export --trajectories t.jsonl --role plannr --format shared --out out", 2, "unknown role 'plannr'"),
    ("export --trajectories t.jsonl --role planner --format shard --out out", 4, "unknown format 'shard'"),
    ("export --trajectories t.jsonl --role planner --format object.json --out out", 4, "object.json: not a format"),
    ("export --trajectories deep.jsonl --role planner --format chat --out out", 3, r"deep\.jsonl:1: JSON nested too"),
    ("export --trajectories long_number.jsonl --role planner --format chat --out out", 3, r"jsonl:1: schema"),
    ("format learn --role planner --out out", 2, "--role 'planner': write it as ROLE=FILE"),
    ("format learn --role plannr=rows.json --out out", 2, "unknown role 'plannr'"),
    ("format learn --role planner=rows.json --out out", 4, "planner: row 0 has no list under 'tools'"),
    ("train gone", 2, "gone: no such file, and no recipe of that name; recipes: .*tiny"),
    ("train gone.toml", 2, "gone.toml: no such file"),
    ("train broken.toml", 2, "broken.toml: broken TOML: .*line 2, column 9"),
    ("train tiny --set out", 2, "override 'out': write it as key.of.table=value"),
    ("train tiny --set stages.planner.epohcs=3", 2, r"'epohcs' in \[stages.planner\]; did you mean 'epochs'\?"),
    ("train tiny --set stages.planner.epochs=many", 2, r"epochs in \[stages.planner\]: .*not 'many'"),
    ("train tiny --set out=out --set data.train=gone.jsonl", 3, "gone.jsonl: no such file"),
    ("train tiny --set out=run --set data.train=t.jsonl", 2, "run: holds a run with another configuration"),
    ("train tiny --set out=out --set data.train=empty.jsonl", 3, "empty.jsonl: no trajectories to learn from"),
    ("predict --agent gone --data t.jsonl --out out", 5, "gone: no such run directory or agent file"),
    ("predict --agent run --data t.jsonl --out out", 5, "run: holds no umi.toml"),
    ("predict --agent agent.toml --data t.jsonl --out out", 5, "gone: no such model; name a folder, a .gguf file"),
    ("predict --agent agent.toml --data t.jsonl --out out --single", 2, "the agent names no backbone"),
    ("predict --agent misspelt.toml --data t.jsonl --out out", 2, "did you mean 'max_input_tokens'?"),
    ("predict --agent formatless.toml --data t.jsonl --out out", 4, "sharde"),
    ("predict --agent alone.toml --data t.jsonl --out out", 2, r"\[roles\]: .*missing: caller, summarizer"),
    ("predict --agent agent.toml --data latin.jsonl --out out", 3, "latin.jsonl: not UTF-8 text at byte 0"),
    ("predict --agent agent.toml --data cut.jsonl.gz --out out", 3, "cut.jsonl.gz: cannot be read"),
    ("predict --agent agent.toml --data empty.jsonl --out out", 3, "empty.jsonl: holds no step to score"),
    ("predict --agent agent.toml --data unscored.jsonl --out out", 3, "unscored.jsonl: holds no step to score"),
    ("evaluate static gone.json --out out", 3, "gone.json: no such file"),
    ("evaluate static object.json --out out", 3, "object.json: row 0: key .tools. is missing"),
    ("evaluate static rows.json --out out", 3, "rows.json: row 0: key 'tools' is missing"),
    ("evaluate static empty.json --out out", 3, "empty.json: there are no rows to score"),
    ("evaluate static rows.json --out out --shape square", 2, "unknown shape 'square'; known: multi-agent, backbone"),
    ("world write --out out --split exam", 2, "unknown world split 'exam'; known: train, test, unseen_tool"),
    ("world write --out out --preset vast", 2, "unknown world preset 'vast'; known: tiny, small, full"),
    ("world write --out out --preset small --set G9", 2, "unknown world split 'G9'; known: train, G1_instruction"),
    ("ask Why? --tools gone.py --agent agent.toml", 3, "gone.py: no such file"),
    ("ask Why? --tools toolless.py --agent agent.toml", 3, "toolless.py: holds no tools; put @tool"),
    ("ask Why? --tools raises.py --agent agent.toml", 2, "raises.py:1: cannot be imported: RuntimeError: not today"),
    ("ask Why? --tools unfinished.py --agent agent.toml", 2, "unfinished.py:1: cannot be imported"),
    ("ask Why? --tools toolless.py --native", 2, "name an agent by --agent, or an instruct model by --model"),
    ("ask Why? --tools toolless.py --model m", 5, "m: no such model; name a folder, a .gguf file, a hub id"),
    ("ask Why? --tools toolless.py --model ./m.gguf", 5, "m.gguf: no such model"),
]  # fmt: skip


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder full of what can be wrong."""
    folder = tmp_path_factory.mktemp("desk")
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    world = World()
    write_trajectories(folder / "t.jsonl", [world.gold(world.task(Split.TRAIN, index)) for index in range(4)])
    row = json.loads((folder / "t.jsonl").read_text().splitlines()[0])
    (folder / "unscored.jsonl").write_text(json.dumps(row | {"turns": row["turns"][:1]}))
    return folder


@pytest.mark.parametrize(("command", "code", "says"), CASES, ids=[command for command, _, _ in CASES])
def test_a_mistake_is_one_line_and_leaves_nothing(command, code, says, desk, monkeypatch, capsys):
    monkeypatch.chdir(desk)
    before = sorted(desk.rglob("*"))
    monkeypatch.setattr(sys, "argv", ["umi", *command.split()])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    said = capsys.readouterr()
    ended = Ended(code=stopped.value.code, out=said.out, err=said.err)
    lines = ended.err.splitlines()
    assert (ended.code, len(lines), ended.out) == (code, 1, ""), ended
    assert lines[0].startswith("error: ")
    assert re.search(says, lines[0]), lines[0]
    left = [path for path in sorted(desk.rglob("*")) if path not in before and "__pycache__" not in path.parts]
    assert left == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="who may read everything cannot be refused")
def test_a_file_that_may_not_be_read_is_named(tmp_path):
    (tmp_path / "t.jsonl").write_text("{}")
    (tmp_path / "t.jsonl").chmod(0)
    ended = run("prepare", "processed", "t.jsonl", "--out", "out", cwd=tmp_path)
    assert ended.code == 3
    assert "t.jsonl: cannot be read" in ended.err


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("predict --agent agent.toml", "--data"),
        ("world write --out out --max-calls 0", "--max-calls"),  # there is no such task to be found, ever
    ],
)
def test_usage_errors_have_the_exit_code_of_configuration_errors(command, says, desk):
    ended = run(*command.split(), cwd=desk)
    assert ended.code == 2
    assert says in ended.err
    assert "Traceback" not in ended.err
    assert not (desk / "out").exists()


@pytest.mark.slow  # it is asked again a few times
def test_an_endpoint_that_is_not_there_is_a_model_error(desk):
    (desk / "tools.py").write_text(
        "from alpha_umi import tool\n\n\n@tool\ndef now() -> str:\n    'The time.'\n    return ''\n"
    )
    ended = run("ask", "Why?", "--tools", "tools.py", *ENDPOINT, cwd=desk)
    (desk / "tools.py").unlink()
    assert ended.code == 6, ended.err
    assert "127.0.0.1:9" in ended.err.splitlines()[-1]
    assert "Traceback" not in ended.err

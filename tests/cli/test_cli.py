"""The main job by its commands: from raw answers to a trained, measured and answering agent."""

import json
import re
import subprocess
import sys
import warnings

import pytest

from support.commands import environment, run, run_here
from support.endpoint_server import Reply, chat_reply, serving
from support.plain_format import PLAIN

TOOLS = '''
from alpha_umi import tool


@tool
def weather(city: str) -> dict:
    """The weather of a city.

    Args:
        city: Its name.
    """
    return {"city": city, "degrees": 21}
'''


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with the world's answers, trajectories, a tool module and a trained agent."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "tools.py").write_text(TOOLS)
    for command in (
        ("world", "write", "--out", "world", "--count", "40"),
        ("prepare", "toolbench", "--answers", "world/train/answer", "--out", "train.jsonl", "--emit-stages", "stages"),
    ):
        ended = run_here(*command, cwd=folder)
        assert ended.code == 0, ended.err
    return folder


@pytest.fixture(scope="module")
def trained(home):
    small = [f"stages.{stage}.max_steps=5" for stage in ("backbone", "planner", "caller", "summarizer")]
    small += ["model.tiny.hidden_size=32", "model.tiny.layers=1", "data.train=train.jsonl", "out=agent"]
    ended = run_here("train", "tiny", *(word for override in small for word in ("--set", override)), cwd=home)
    assert ended.code == 0, ended.err
    assert ended.out.strip().endswith("agent")
    return home / "agent"


def rows(path):
    return json.loads(path.read_text())


def said(trajectory):
    """Raw answers tell that a tool failed, not how."""
    return str([{key: text for key, text in turn.items() if key != "status"} for turn in trajectory["turns"]])


def test_raw_answers_and_the_worlds_own_trajectories_say_the_same(home):
    prepared = [json.loads(line) for line in (home / "train.jsonl").read_text().splitlines()]
    written = [json.loads(line) for line in (home / "world" / "train.jsonl").read_text().splitlines()]
    assert len(prepared) == len(written) == 40
    assert sorted(map(said, prepared)) == sorted(map(said, written))
    assert len(rows(home / "stages" / "raw_data_stage_1.json")) == len(rows(home / "stages" / "raw_data_stage_2.json"))


def test_a_trained_agent_predicts_alone_and_as_three_and_is_scored(home, trained):
    limits = ("--data", home / "train.jsonl", "--limit", "3")
    three, single = home / "three.json", home / "single.json"
    assert run_here("predict", "--agent", trained, *limits, "--out", three).code == 0
    assert run_here("predict", "--agent", trained, *limits, "--out", single, "--single").code == 0
    assert [row["reference"] for row in rows(three)] == [row["reference"] for row in rows(single)]
    assert all(row.keys() >= {"tools", "reference", "predictions"} for row in rows(three))
    for options in ((), ("--compat", "alpha-umi")):
        scored = run_here("evaluate", "static", three, "--out", home / "metrics.json", *options)
        assert scored.code == 0, scored.err
        assert f"{len(rows(three))} steps" in scored.out
        assert scored.out == (home / "metrics.md").read_text()
    assert rows(home / "metrics.json")["metrics"].keys() >= {"plan_em", "f1", "hallu_rate"}
    assert not list(home.glob("*.parts"))


def test_predictions_free_and_held_are_scored_side_by_side(home, trained):
    limits = ("--data", home / "train.jsonl", "--limit", "2", "--out")
    free, constrained = home / "free.json", home / "constrained.json"
    assert run_here("predict", "--agent", trained, *limits, free, "--free").code == 0
    assert run_here("predict", "--agent", trained, *limits, constrained, "--constrained").code == 0
    assert [{row["constrained"] for row in rows(path)} for path in (free, constrained)] == [{False}, {True}]
    scored = run_here("evaluate", "static", free, "--constrained", constrained, "--out", home / "both.json")
    assert scored.code == 0, scored.err
    assert "unconstrained %" in scored.out
    assert "constrained %" in scored.out
    assert rows(home / "both.json")["constrained"]["metrics"]["hallucination_rate"]["value"] in (0.0, None)
    refused = run_here("evaluate", "static", constrained, "--constrained", free, "--out", home / "both.json")
    assert refused.code == 3
    assert "constrained.json" in refused.err or "free.json" in refused.err


def test_an_agent_file_names_checkpoints_adapters_and_a_format(home, trained):
    make_adapter(trained / "caller", home / "lora")
    (home / "agent.toml").write_text(
        'format = "agent/format.json"\nmax_input_tokens = 672\n[sampling]\nmax_tokens = 96\n'
        '[roles.planner]\nmodel = "agent/planner"\n[roles.summarizer]\nmodel = "agent/summarizer"\n'
        '[roles.caller]\nmodel = "agent/caller"\nadapter = "lora"\n'
    )
    out = home / "adapted.json"
    ended = run_here(
        "predict", "--agent", home / "agent.toml", "--data", home / "train.jsonl", "--limit", 2, "--out", out
    )
    assert ended.code == 0, ended.err
    plain = home / "plain.json"
    assert (
        run_here("predict", "--agent", trained, "--data", home / "train.jsonl", "--limit", 2, "--out", plain).code == 0
    )
    assert [row["key"] for row in rows(out)] == [row["key"] for row in rows(plain)]
    assert thoughts(out) == thoughts(plain)  # the planner is the same, the caller is not


def make_adapter(base, out):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from alpha_umi.models.checkpoint import quiet

    torch.manual_seed(1)
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT asks transformers by an old name
        model = AutoModelForCausalLM.from_pretrained(base)
        lora = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
        get_peft_model(model, lora).save_pretrained(out)


def thoughts(path):
    return [turn["thought"] for row in rows(path) for turn in row["proposal"] if turn["turn"] == "plan"]


def test_an_untrained_agent_answers_or_says_that_it_has_none(home, trained):
    ended = run_here(
        "ask", "Weather in Oslo?", "--agent", trained, "--tools", home / "tools.py", "--out", home / "a.jsonl"
    )
    assert ended.code in (0, 1)
    assert ended.out.strip() or "no answer: " in ended.err
    (trajectory,) = [json.loads(line) for line in (home / "a.jsonl").read_text().splitlines()]
    assert trajectory["task"]["query"] == "Weather in Oslo?"
    assert trajectory["task"]["tools"][0]["name"] == "weather"


def test_a_format_is_learned_back_from_the_rows_it_exported(home):
    (home / "plain_format.json").write_text(json.dumps(PLAIN))
    learned, files = home / "learned.json", []
    for role in ("planner", "caller", "summarizer", "backbone"):
        out = home / f"train_{role}.json"
        options = ("--trajectories", home / "train.jsonl", "--role", role, "--out", out)
        assert run_here("export", *options, "--format", home / "plain_format.json").code == 0
        assert rows(out)[0].keys() == {"tools", "history", "input", "target"}
        files += ["--role", f"{role}={out}"]
    ended = run_here("format", "learn", *files, "--out", learned)
    assert ended.code == 0, ended.err
    explained = re.findall(r"(\d+) of (\d+) inputs reproduced", ended.out)
    assert len(explained) == 4
    assert all(found == all_of_them != "0" for found, all_of_them in explained)
    again = home / "again.json"
    run_here("export", "--trajectories", home / "train.jsonl", "--role", "planner", "--format", learned, "--out", again)
    assert again.read_bytes() == (home / "train_planner.json").read_bytes()


def test_three_roles_on_an_endpoint_answer_a_query_untrained(home):
    says = [
        "The weather of Oslo is needed. Next: caller.",
        'Action: weather\nAction Input: {"city": "Oslo"}',
        "It is known now.\nNext: conclusion.",
        "It is 21 degrees in Oslo.\x1b[2J",
    ]
    with serving(*(Reply(body=chat_reply(text)) for text in says)) as server:
        ended = run_here(
            "ask", "Weather in Oslo?", "--base-url", server.url, "--model", "m", "--tools", home / "tools.py"
        )
        assert ended.code == 0, ended.err
        assert "It is 21 degrees in Oslo." in ended.out
        assert "\x1b" not in ended.out
        assert [request.path for request in server.received] == ["/v1/chat/completions"] * 4
        shown = [line for line in ended.err.splitlines() if line.strip()]
        assert [line.split()[0] for line in shown] == ["user", "planner", "caller", "tool", "planner", "summarizer"]
        assert '"degrees": 21' in str(server.received[2].body)


@pytest.mark.slow
def test_processes_under_torchrun_predict_what_one_process_predicts(home, trained):
    options = ("predict", "--agent", "agent", "--data", "train.jsonl", "--limit", "4")
    assert run_here(*options, "--out", "one.json", cwd=home).code == 0
    sharded = run(
        "--nproc_per_node=2", "--master-port=0", "-m", "alpha_umi.cli", *options, "--out", "two.json",
        cwd=home, module="torch.distributed.run",
    )  # fmt: skip
    assert sharded.code == 0, sharded.err
    assert (home / "two.json").read_bytes() == (home / "one.json").read_bytes()
    assert not list(home.glob("two*.parts"))


# --- what is loaded -----------------------------------------------------------------------------------


def loaded_by(statement, cwd):
    heavy = "{'torch', 'transformers', 'numpy', 'pydantic', 'httpx2', 'rich'}"
    program = (
        f"import sys\ntry:\n    {statement}\nexcept SystemExit:\n    pass\nprint('\\n', *{heavy} & {{*sys.modules}})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "--help"],
        env=environment(),
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split())


def test_importing_the_package_loads_no_framework(tmp_path):
    assert loaded_by("import alpha_umi", tmp_path) == set()


def test_the_help_loads_no_framework(tmp_path):
    assert not loaded_by("from alpha_umi.cli import main; main()", tmp_path) & {
        "torch",
        "transformers",
        "numpy",
        "httpx2",
    }

"""ToolAlpaca with models: its two questions to a judge, and tools whose replies a model writes."""

import json

import pytest

import alpha_umi as umi
from alpha_umi.formats.prompts.toolalpaca import Verdict, read_verdicts
from alpha_umi.rollouts.runner import read_rollouts
from support.commands import run_here
from support.endpoint_server import Answer, Reply, chat_reply, serving

API = {
    "Name": "Trips",
    "NLDocumentation": "",
    "Function_Description": {"add": 'Adds.\nParameters: {"n": "Required. integer. What to add."}'},
    "Instructions": ["Add 2.", "Add 3.", "Add 4."],
    "Golden_Answers": [[{"Action": "add", "Action_Input": json.dumps({"n": n})}] for n in (2, 3, 4)],
}


@pytest.fixture
def home(tmp_path):
    (tmp_path / "eval.json").write_text(json.dumps([API]))
    umi.prepare.toolalpaca([tmp_path / "eval.json"], tmp_path / "tasks.jsonl")
    return tmp_path


def roll_out(home, url, *more):
    return run_here(
        "rollout", "--queries", "tasks.jsonl", "--env", "simulated", "--set", "simulated.model=m",
        "--set", f"simulated.base_url={url}", "--agent", "rollout_agents:adder", "--out", "run", *more, cwd=home,
    )  # fmt: skip


def simulated(body):
    said = body["messages"][-1]["content"]
    if '{"n": 4}' in said:
        return chat_reply('{"error": "n is too large", "response": ""}')
    return chat_reply('Sure: {"error": "", "response": {"sum": 7}}' if '{"n": 2}' in said else "{}")


def judged(body):
    said = body["messages"][1]["content"]
    if "Add 3." in said:
        return chat_reply("I cannot tell.")
    response = "Yes" if "Add 2." in said else "Uncertain"
    return chat_reply(json.dumps({"reason": "so", "process": "yes", "response": response}))


def test_a_model_writes_the_replies_of_tools_and_another_judges_processes_and_answers(home):
    with serving(Answer(make=simulated)) as server:
        assert roll_out(home, server.url).code == 0
        asked = server.received[0].body["messages"][-1]["content"]
        assert "Adds." in asked
        assert "Trips" in asked
        assert server.received[0].body["response_format"]["json_schema"]["name"] == "reply"
    found = {each.trajectory.task.query: each.trajectory for each in read_rollouts(home / "run")}
    seen = {query: next(t for t in made.turns if isinstance(t, umi.Observation)) for query, made in found.items()}
    assert seen["Add 2."] == umi.Observation(content='{"sum": 7}')
    assert (seen["Add 4."].content, seen["Add 4."].status) == ("n is too large", umi.ToolStatus.ERROR)
    assert seen["Add 3."].content == "the simulator wrote no reply in 3 tries"
    command = ["evaluate", "toolalpaca", "run", "--gold", "eval.json", "--out", "s.json", "--json", "--model", "j"]
    with serving(Answer(make=judged)) as server:
        said = run_here(*command, "--base-url", server.url, cwd=home)
        assert said.code == 0, said.err
        asked = {body["messages"][1]["content"] for body in (each.body for each in server.received)}
        assert len(server.received) == 1 + 3 + 1
        assert any('1. add({"n": 2})' in text and 'Result: {"sum": 7}' in text for text in asked)
    scored = json.loads(said.out)["sets"]["eval"]
    assert {name: each["value"] for name, each in scored["judged"].items()} == pytest.approx(
        {"process": 2 / 3, "answer": 1 / 3, "both": 1 / 3}
    )
    assert [each["process"] for each in scored["verdicts"]] == ["Yes", "", "Yes"]
    assert "1 tasks have no verdict" in (home / "s.md").read_text()
    with serving(Reply(status=500)) as server:
        again = run_here(*command, "--base-url", server.url, cwd=home)
        assert not server.received
    assert again.out == said.out


def test_a_task_without_a_call_or_an_answer_is_wrong_and_no_judge_is_asked(home):
    (home / "run.jsonl").write_text("")
    tasks = (home / "tasks.jsonl").read_text().splitlines()
    row = json.loads(tasks[0])
    (home / "run.jsonl").write_text(json.dumps({**row, "turns": row["turns"][:1]}) + "\n")
    with serving(Reply(status=500)) as server:
        report = umi.evaluate.toolalpaca(
            home / "run.jsonl", home / "s.json", gold=[home / "eval.json"], model="j", base_url=server.url
        )
        assert not server.received
    assert report.verdicts("eval")["process"].value == 0.0
    with pytest.raises(umi.ConfigError, match="--base-url needs --model"):
        umi.evaluate.toolalpaca(home / "run.jsonl", home / "s.json", gold=[home / "eval.json"], base_url="http://x")


@pytest.mark.parametrize(
    ("text", "process"),
    [
        ('{"process": "Yes", "response": "No"}', Verdict.YES),
        ('text {"process": "no ", "response": "uncertain", "reason": 3} text', Verdict.NO),
        ('{"process": "Yes", "response": "No"} {"process": "Uncertain", "response": "No"}', Verdict.UNCERTAIN),
        ('{"process": "Yes"}', None),
        ('{"process": true, "response": ["Yes"]}', None),
        ("", None),
        ("{" * 5000, None),
    ],
)
def test_verdicts_are_read_from_any_text(text, process):
    found = read_verdicts(text)
    assert (found and found.process) == process

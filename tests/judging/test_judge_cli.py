"""`umi judge` as a user runs it, with a judge behind a real endpoint on the loopback."""

import json
import re
import sys

import pytest

from alpha_umi import cli
from alpha_umi.datasets.toolbench import write_answer
from alpha_umi.judging.convert import convert_trajectory
from alpha_umi.world import World
from support.commands import Ended
from support.endpoint_server import Answer, Reply, chat_reply, serving

COUNT = 6


@pytest.fixture
def umi(monkeypatch, capsys):
    """The command line in this process."""

    def run_here(*arguments):
        monkeypatch.setattr(sys, "argv", ["umi", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as ended:
            code = ended.code or 0
        captured = capsys.readouterr()
        return Ended(code=code, out=captured.out, err=captured.err)

    return run_here


@pytest.fixture
def answers(tmp_path):
    """Two systems on one set: good, and bad, which answers only its first two queries as good does."""
    world = World()
    records = {}
    for index in range(COUNT):
        task = world.task("test", index)
        records[str(index)] = json.loads(json.dumps(convert_trajectory(world.gold(task), "gold")))
    worse = {key: json.loads(json.dumps(record)) for key, record in records.items()}
    for key in list(worse)[2:]:
        worse[key]["answer"] |= {"final_answer": "", "answer_details": []}
    for name, made in (("good", records), ("bad", worse)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "G1_tool.json").write_text(json.dumps(made))
    return tmp_path


def verdict(body, *, better=0):
    """A judge that likes every answer, holds every task for solvable, and prefers by index."""
    schema = body["messages"][0]["content"]
    said = {"answer_status": "Solved", "task_status": "Solvable", "index": better}
    return chat_reply(json.dumps({"reason": "so", **{key: said[key] for key in said if f'"{key}"' in schema}}))


def at(server):
    return ["--base-url", server.url, "--model", "judge-1"]


def test_pass_win_and_report_by_an_endpoint(umi, answers):
    with serving(Answer(make=verdict)) as server:
        for name in ("good", "bad"):
            ended = umi("judge", "pass", answers / name, "--out", answers / f"p_{name}", *at(server))
            assert ended.code == 0, ended.err
        assert ended.out.startswith(f"G1_tool: pass rate {100 * 2 / COUNT:.1f} (")
        ended = umi("judge", "win", answers / "p_bad", answers / "p_good", "--out", answers / "w", *at(server))
        assert ended.code == 0, ended.err
        assert ended.out.startswith(f"G1_tool: win rate {100 * (COUNT - 2) / COUNT:.1f} (")
        assert f"{COUNT} queries (good over bad)" in ended.out
        formats = {body["response_format"]["json_schema"]["name"] for body in (r.body for r in server.received)}
        assert formats == {"check_answer_status"}  # bad never finishes the others
        assert all(r.body["temperature"] == 0 for r in server.received)
    ended = umi("judge", "report", answers / "p_good", answers / "p_bad", answers / "w", "--out", answers / "r.json")
    assert ended.code == 0, ended.err
    numbers = json.loads((answers / "r.json").read_text())
    good, bad = numbers["Pass rate"]
    assert (good["pass rate"]["value"], bad["pass rate"]["value"]) == (1.0, pytest.approx(2 / COUNT))
    assert numbers["Paired (McNemar, exact)"][0]["first only"] == COUNT - 2
    assert numbers["Win rate"][0]["win (SoWR)"]["value"] == pytest.approx((COUNT - 2) / COUNT)
    assert numbers["Win rate"][0]["tie"]["value"] == pytest.approx(2 / COUNT)  # the same answers
    assert ended.out == (answers / "r.md").read_text()


def test_a_finished_run_is_scored_anew_without_a_question(umi, answers):
    run, good = answers / "p", answers / "good"
    with serving(Answer(make=verdict)) as server:
        assert umi("judge", "pass", good, "--out", run, "--votes", 3, *at(server)).code == 0
        asked = len(server.received)
        first = (run / "verdicts/G1_tool.json").read_bytes()
        assert umi("judge", "pass", good, "--out", run, "--votes", 3, *at(server)).code == 0
        assert len(server.received) == asked == 2 * COUNT
    assert umi("judge", "pass", good, "--out", run, "--votes", 3).code == 0
    assert (run / "verdicts/G1_tool.json").read_bytes() == first
    ended = umi("judge", "pass", good, "--out", run, "--votes", 5)  # settled by three, two are on record
    assert ended.code == 3
    assert "the ledger has no reply" in ended.err


def test_a_run_goes_on_after_the_endpoint_died(umi, answers):
    run, good = answers / "p", answers / "good"
    whole, refused = Answer(make=verdict), Reply(status=401, body="no")
    with serving(*[whole] * 5, refused) as server:
        ended = umi("judge", "pass", good, "--out", run, "--concurrency", 1, *at(server))
        assert ended.code == 6
        assert "OPENAI_API_KEY" in ended.err
    kept = len((run / "ledger.jsonl").read_text().splitlines())
    assert kept == 5
    with (run / "ledger.jsonl").open("a") as file:
        file.write('{"key": "cut sho')  # as a kill leaves it
    with serving(whole) as server:
        assert umi("judge", "pass", good, "--out", run, *at(server)).code == 0
        assert len(server.received) == 2 * COUNT - kept
    assert umi("judge", "pass", good, "--out", run).code == 0  # nobody is asked: the ledger is whole


def test_a_server_that_knows_no_schema_is_asked_without_one(umi, answers):
    behaviours = [Reply(status=400, body="unknown field response_format"), Answer(make=verdict)]
    with serving(*behaviours) as server:
        ended = umi("judge", "pass", answers / "good", "--out", answers / "p", "--concurrency", 1, *at(server))
        assert ended.code == 0, ended.err
        held = ["response_format" in r.body for r in server.received]
        assert held == [True] + [False] * (len(held) - 1)


def test_a_reason_is_bounded_where_the_server_allows_it(umi, answers):
    refusal = "Invalid schema: In context=('properties', 'reason'), 'maxLength' is not permitted."
    behaviours = [Reply(status=400, body=refusal), Answer(make=verdict)]
    with serving(*behaviours) as server:
        ended = umi("judge", "pass", answers / "good", "--out", answers / "p", "--concurrency", 1, *at(server))
        assert ended.code == 0, ended.err
    bounds = [
        request.body["response_format"]["json_schema"]["schema"]["properties"]["reason"].get("maxLength")
        for request in server.received
    ]
    assert bounds == [600, *[None] * (len(bounds) - 1)]
    assert len(bounds) > 2


def test_a_judge_that_answers_nonsense_is_data(umi, answers):
    with serving(Reply(body=chat_reply("As a language model I cannot grade."))) as server:
        ended = umi("judge", "pass", answers / "good", "--out", answers / "p", "--votes", 1, *at(server))
        assert ended.code == 0, ended.err
    ended = umi("judge", "report", answers / "p", "--out", answers / "r.json")
    row = json.loads((answers / "r.json").read_text())["Pass rate"][0]
    assert row["pass rate"]["value"] == 0.5
    assert row["no verdict"] == 3 * COUNT
    assert row["unsure"] == COUNT


def test_missing_answers_fail_and_are_named(umi, answers):
    (answers / "ids.json").write_text(json.dumps([0, 1, "2", 777]))
    ended = umi(
        "judge",
        "pass",
        answers / "good/G1_tool.json",
        "--ids",
        answers / "ids.json",
        "--out",
        answers / "p",
        "--name",
        "a",
    )
    assert ended.code == 2
    assert "--world" in ended.err
    ended = umi(
        "judge", "pass", answers / "good/G1_tool.json", "--ids", answers / "ids.json", "--out", answers / "p", "--world"
    )
    assert ended.code == 0, ended.err
    assert "1 of 4 queries have no answer and fail (777)" in ended.out
    assert "0.750" in umi("judge", "report", answers / "p").out


def test_labels_give_agreement_and_kappa(umi, answers):
    assert umi("judge", "pass", answers / "bad", "--out", answers / "p", "--world").code == 0
    labels = {str(index): index < 3 for index in range(COUNT)}
    (answers / "labels.json").write_text(json.dumps(labels))
    out = umi("judge", "report", answers / "p", "--labels", answers / "labels.json").out
    assert re.search(r"G1_tool +\| +6 \| +0\.833 .*\| 0\.667 \|", out)
    (answers / "labels.json").write_text(json.dumps({"x": True}))
    ended = umi("judge", "report", answers / "p", "--labels", answers / "labels.json")
    assert ended.code == 3
    assert "none of its 1 labelled queries (x)" in ended.err


def test_compat_writes_the_published_files_and_prints_the_published_line(umi, answers):
    with serving(Answer(make=verdict)) as server:
        for name in ("good", "bad"):
            ended = umi(
                "judge", "pass", answers / name, "--out", answers / f"p_{name}", "--compat", "alpha-umi", *at(server)
            )
            assert ended.code == 0, ended.err
            assert f"Test set: G1_tool. Model: {name}. Pass rate: " in ended.out
            assert (answers / f"p_{name}" / f"G1_tool_{name}.csv").exists()
        runs = answers / "p_good", answers / "p_bad"
        ended = umi("judge", "win", *runs, "--out", answers / "w", "--compat", "alpha-umi", "--votes", 2, *at(server))
    assert ended.code == 0, ended.err
    assert "Reference model: good, Candidate model: bad. Win rate: " in ended.out
    assert "KeyError: 'round_1'" in ended.out
    assert json.loads((answers / "w/G1_tool_good_bad.json").read_text())["0"].keys() >= {"good", "bad", "round_1"}


@pytest.mark.parametrize("more", [[], ["--compat", "openbmb"]], ids=["ours", "compat"])
def test_a_judge_that_is_not_there_is_one_line(umi, answers, more):
    with serving(Reply(status=404, body="no such model")) as server:
        ended = umi("judge", "pass", answers / "good", "--out", answers / "p", *more, *at(server))
    assert ended.code == 6
    assert len(ended.err.splitlines()) == 1
    assert "judge-1" in ended.err


def test_an_evaluator_folder_is_used_with_its_own_settings(umi, answers):
    folder = answers / "evaluator"
    folder.mkdir()
    names = {"check_answer_status": "answer_status", "parse_answer_status": "answer_status"}
    names |= {"check_task_solvable": "task_status", "select_better_answer": "index"}
    functions = "".join(
        f"    - name: {name}\n      parameters: {{type: object, properties: {{{key}: {{}}}}, required: [{key}]}}\n"
        for name, key in names.items()
    )
    (folder / "config.yaml").write_text(
        "evaluator_name: mine\nprompt_template: template.txt\n"
        f"completions_kwargs:\n  temperature: 0.2\n  max_tokens: 77\n  functions:\n{functions}"
    )
    (folder / "template.txt").write_text(
        "".join(f"<function><name>{name}</name><description>MINE {{query}}</description></function>" for name in names)
    )
    arguments = ["judge", "pass", answers / "good", "--out", answers / "p", "--evaluator", folder]
    with serving(Answer(make=verdict)) as server:
        ended = umi(*arguments, *at(server))
        assert ended.code == 0, ended.err
        body = server.received[0].body
    assert body["messages"][-1]["content"].startswith("MINE ")
    assert (body["temperature"], body["max_tokens"]) == (0.2, 77)
    (folder / "config.yaml").write_text("a: [")
    ended = umi(*arguments, "--base-url", "http://127.0.0.1:9", "--model", "m")
    assert ended.code == 3
    assert "config.yaml: broken YAML" in ended.err


def test_an_evaluator_folder_cannot_run_code_or_leave_its_folder(umi, answers):
    folder = answers / "evaluator"
    folder.mkdir()
    for content, said in (
        ("!!python/object/apply:os.system ['false']", "broken YAML"),
        ("prompt_template: ../../secret", "same folder"),
    ):
        (folder / "config.yaml").write_text(content)
        ended = umi("judge", "pass", answers / "good", "--out", answers / "p", "--evaluator", folder, "--model", "m")
        assert ended.code == 3
        assert said in ended.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["pass", "good", "--ids", "other", "--out", "p", "--world"], 3, "no such file"),
        (["pass", "good/G1_tool.json", "--ids", "other/ids.json", "--out", "p", "--world"], 3, "another set"),
        (["pass", "other", "--out", "p", "--world"], 3, "not answers by query id"),
        (["pass", "good", "--ids", "other/ids.json", "--out", "p", "--world"], 2, "name two files, or two folders"),
        (["pass", "good", "--out", "p", "--world", "--model", "m"], 2, "leave out --model"),
        (["pass", "good", "--out", "p", "--base-url", "http://x"], 2, "needs --model"),
        (["pass", "good", "--out", "p", "--world", "--name", "a/b"], 2, "without '/'"),
        (["pass", "good", "--out", "p", "--world", "--compat", "mine"], 2, "alpha-umi, openbmb, stable"),
        (["pass", "good", "--out", "p", "--world", "--compat", "stable"], 2, "asks a judge model"),
        (["win", "good", "bad", "--out", "w", "--world"], 3, "settings.json is missing"),
        (["report", "good"], 3, "settings.json is missing"),
        (["convert", "other", "--out", "c.json"], 3, "answer_generation"),
        (["convert", "good", "--out", "c.json", "--method", "CoT@1"], 3, "'CoT@1' in its name"),
    ],
)
def test_what_a_user_gets_wrong_is_one_line_with_what_where_and_what_to_do(
    umi, answers, monkeypatch, arguments, code, said
):
    (answers / "other").mkdir()
    (answers / "other/ids.json").write_text('["901", "902"]')
    monkeypatch.chdir(answers)
    ended = umi("judge", *arguments)
    assert ended.code == code
    assert said in ended.err
    assert len(ended.err.splitlines()) == 1
    assert not (answers / "p/settings.json").exists()


def test_a_broken_answer_among_others_is_named_and_counts_as_none(umi, tmp_path):
    folder, world = tmp_path / "some", World()
    folder.mkdir()
    for index in range(2):
        document = write_answer(world.gold(world.task("test", index)))
        (folder / f"{index}_CoT@1.json").write_text(json.dumps(document))
    known = umi("judge", "convert", folder, "--out", tmp_path / "known.json")
    for number, content in (("7001", ""), ("7002", '{"win": tr'), ("7003", "[]")):
        (folder / f"{number}_CoT@1.json").write_text(content)
    ended = umi("judge", "convert", folder, "--out", tmp_path / "c.json")
    assert (known.code, ended.code) == (0, 0)
    assert (tmp_path / "c.json").read_text() == (tmp_path / "known.json").read_text()
    assert "3 of 5 files cannot be read and count as no answer" in ended.out
    for name in ("7001", "7002", "7003"):
        assert f"  {name}_CoT@1.json:" in ended.out
    strict = umi("judge", "convert", folder, "--out", tmp_path / "s.json", "--strict")
    assert (strict.code, len(strict.err.splitlines())) == (3, 1)
    assert not (tmp_path / "s.json").exists()


def test_a_system_is_not_compared_with_itself(umi, answers):
    assert umi("judge", "pass", answers / "good", "--out", answers / "p", "--world").code == 0
    ended = umi("judge", "win", answers / "p", answers / "p", "--out", answers / "w", "--world")
    assert ended.code == 2
    assert "compared with itself" in ended.err


def test_raw_answers_of_the_world_convert_with_all_their_calls(umi, tmp_path):
    assert umi("world", "write", "--out", tmp_path, "--split", "test", "--count", 5).code == 0
    folder = next(path.parent for path in sorted(tmp_path.rglob("G*_answer/*.json")))
    by_file = umi("judge", "convert", next(tmp_path.rglob("*.jsonl")), "--out", tmp_path / "t.json")
    by_folder = umi("judge", "convert", folder, "--out", tmp_path / "f.json")
    assert by_file.code == by_folder.code == 0, by_file.err + by_folder.err
    counts = [
        sorted(
            record["query"] + str(record["answer"]["total_steps"]) for record in json.loads(path.read_text()).values()
        )
        for path in (tmp_path / "t.json", tmp_path / "f.json")
    ]
    assert set(counts[1]) <= set(counts[0])

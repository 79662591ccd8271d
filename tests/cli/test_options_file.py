"""Options of a verb from a file: --config and --set speak the words of the flags, and flags go before them."""

import json

import pytest

from support.commands import run_here


@pytest.fixture
def desk(tmp_path):
    assert run_here("world", "write", "--preset", "tiny", "--count", 3, "--out", tmp_path, cwd=tmp_path).code == 0
    (tmp_path / "options.toml").write_text(
        'queries = "train.jsonl"\nagent = "oracle"\nenv = "world"\nout = "run"\nmax-steps = 5\nlimit = 2\n'
    )
    return tmp_path


def test_a_file_gives_the_options_and_flags_go_before_it(desk):
    ended = run_here("rollout", "--config", "options.toml", "--limit", 1, "--json", cwd=desk)
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["all"]["tasks"] == 1
    assert "max_steps = 5" in (desk / "run" / "rollout.toml").read_text()


def test_set_goes_before_the_file_and_behind_a_flag(desk):
    (desk / "judge.toml").write_text('votes = 2\nout = "passes"\nworld = true\n')
    assert run_here("rollout", "--config", "options.toml", cwd=desk).code == 0
    assert run_here("judge", "convert", "run", "--out", "answers", cwd=desk).code == 0
    set_out = ("judge", "pass", "answers", "--config", "judge.toml", "--set", "out=others")
    assert run_here(*set_out, cwd=desk).code == 0
    assert (desk / "others").is_dir()
    assert run_here(*set_out, "--out", "flagged", cwd=desk).code == 0
    assert (desk / "flagged").is_dir()
    assert not (desk / "passes").exists()


def test_set_of_a_rollout_names_its_options_and_keys_of_its_environment(desk):
    settings = ("--set", "limit=1", "--set", "max-steps=4")
    ended = run_here("rollout", "--config", "options.toml", *settings, "--json", cwd=desk)
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["all"]["tasks"] == 1
    assert "max_steps = 4" in (desk / "run" / "rollout.toml").read_text()
    recorded = run_here("rollout", "--config", "options.toml", *settings, "--set", "record=r.jsonl", cwd=desk)
    assert "there is nothing to record" in recorded.err
    wrong = run_here("rollout", "--config", "options.toml", "--out", "o", "--set", "limt=1", cwd=desk)
    assert (wrong.code, "unknown key 'limt'" in wrong.err) == (2, True)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("limt = 3\n", "options.toml: unknown option 'limt'; did you mean 'limit'?"),
        ('queries = "q"\nout = "o"\nenv = "world"\nlimit = "three"\n', "'--limit'"),
        ("limit = \n", "broken TOML"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(desk, line, said):
    (desk / "options.toml").write_text(line)
    ended = run_here("rollout", "--config", "options.toml", cwd=desk)
    assert ended.code == 2
    assert said in ended.err


def test_a_wrong_override_is_named(desk):
    ended = run_here("predict", "--agent", "umi-tiny", "--set", "limt=3", cwd=desk)
    assert (ended.code, ended.err) == (2, "error: --set: unknown option 'limt'; did you mean 'limit'?\n")
    ended = run_here("predict", "--agent", "umi-tiny", "--set", "limit", cwd=desk)
    assert "write it as NAME=VALUE" in ended.err


def test_training_and_studies_take_their_configuration_as_an_option_too(desk):
    assert "no such file, and no recipe" in run_here("train", "--config", "nonsense", "--plan", cwd=desk).err
    assert "name a training configuration" in run_here("train", cwd=desk).err
    assert "once" in run_here("study", "quick", "--config", "quick", "--report", cwd=desk).err

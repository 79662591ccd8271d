"""Saved and shared agents: a folder of its own that predicts the same, and repositories of the Hugging Face Hub."""

import json
import shutil
import subprocess
import sys
import tomllib

import pytest

import alpha_umi as umi
from alpha_umi.loading.bundled import DEFAULT, FOLDER
from alpha_umi.store import write_trajectories
from alpha_umi.world import World
from support.commands import SOURCES, environment
from support.fake_hub import fake_hub

HAS_BUNDLED = (FOLDER / DEFAULT).is_dir()
SIGNED_IN = {"HF_TOKEN": "hf_x"}
COMMIT = "0123456789abcdef0123456789abcdef01234567"
bundled = pytest.mark.skipif(not HAS_BUNDLED, reason="this copy comes without its bundled agent")


def endpoint():
    return umi.load(base_url="http://127.0.0.1:9/v1", model="some-model")


def python(code, **variables):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment(**variables),
        check=False,
        timeout=600,
    )


@bundled
def test_a_saved_agent_needs_no_other_file_and_predicts_the_same(tmp_path):
    world = World("small")
    data = tmp_path / "steps.jsonl"
    write_trajectories(data, [world.gold(world.task(world.splits[1], index)) for index in range(2)])
    with umi.load() as agent:
        saved = agent.save_pretrained(tmp_path / "saved")
        config = agent.config
    first = umi.predict(DEFAULT, data, tmp_path / "first.json")
    second = umi.predict(saved, data, tmp_path / "second.json")
    assert first.steps == second.steps >= 4
    assert (tmp_path / "first.json").read_text() == (tmp_path / "second.json").read_text()
    again = umi.Agent.from_pretrained(saved)
    assert again.config.provenance == config.provenance
    assert again.config.sampling == config.sampling
    again.close()
    names = tomllib.loads((saved / "umi.toml").read_text())
    assert names["format"] == "format.json"
    assert not any(str(tmp_path) in str(role) or str(FOLDER) in str(role) for role in names["roles"].values())


def test_an_agent_behind_an_endpoint_is_saved_as_its_name(tmp_path):
    with endpoint() as agent:
        agent.save_pretrained(tmp_path / "saved")
        config = agent.config
    with umi.load(tmp_path / "saved") as again:
        assert again.config == config


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with endpoint() as agent, pytest.raises(umi.ConfigError, match="is there already"):
        agent.save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_agent_that_is_code_cannot_be_saved(tmp_path):
    with umi.load("oracle") as agent, pytest.raises(umi.ConfigError, match="is code, which cannot be saved"):
        agent.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


@pytest.mark.slow
def test_a_repository_in_the_local_cache_is_loaded_without_the_hub(tmp_path):
    repository = tmp_path / "hub" / "models--someone--some-agent"
    with endpoint() as agent:
        agent.save_pretrained(tmp_path / "saved")
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    shutil.copytree(tmp_path / "saved", repository / "snapshots" / COMMIT)
    code = "import alpha_umi as umi; print(umi.Agent.from_pretrained('someone/some-agent').config.roles.planner.model)"
    for offline in ("1", "0"):
        ended = python(code, HF_HOME=str(tmp_path), HF_HUB_OFFLINE=offline, HF_ENDPOINT="http://127.0.0.1:9")
        assert (ended.stdout.strip(), ended.returncode) == ("some-model", 0), ended.stderr


@pytest.mark.parametrize("where", ["umi.toml", "format.json"])
def test_a_repository_may_not_choose_code_as_its_format(where, tmp_path):
    folder = tmp_path / "hub" / "models--someone--some-agent" / "snapshots" / COMMIT
    with endpoint() as agent:
        agent.save_pretrained(tmp_path / "saved")
    shutil.copytree(tmp_path / "saved", folder)
    (folder.parents[1] / "refs").mkdir()
    (folder.parents[1] / "refs" / "main").write_text(COMMIT)
    if where == "umi.toml":
        (folder / where).write_text((folder / where).read_text().replace('format = "chat"', 'format = "evil:Format"'))
    else:
        (folder / where).write_text('{"kind": "evil:Format"}')
    (tmp_path / "evil.py").write_text("print('imported')")
    code = "import alpha_umi as umi\numi.load('someone/some-agent')"
    ended = python(code, HF_HOME=str(tmp_path), HF_HUB_OFFLINE="1", PYTHONPATH=f"{SOURCES}:{tmp_path}")
    assert ended.returncode != 0
    assert "its format is code (evil:Format), which a repository of the Hub may not choose" in ended.stderr
    assert "imported" not in ended.stdout


@pytest.mark.slow
def test_a_repository_that_is_not_in_the_cache_is_refused_offline_and_where_the_hub_has_none(tmp_path):
    code = """
import alpha_umi as umi
try:
    umi.load('someone/nothing')
except umi.CheckpointError as error:
    print(error)
"""
    offline = python(code, HF_HOME=str(tmp_path), HF_HUB_OFFLINE="1")
    assert "not in the local cache of the Hugging Face Hub (HF_HUB_OFFLINE is set)" in offline.stdout, offline.stderr
    online = python(code, HF_HOME=str(tmp_path), HF_HUB_OFFLINE="0", HF_ENDPOINT="http://127.0.0.1:9")
    assert "not to be had from the Hugging Face Hub" in online.stdout, online.stderr


PUSH = """
import alpha_umi as umi
with umi.load(base_url='http://127.0.0.1:9/v1', model='some-model') as agent:
    try:
        print(agent.push_to_hub('someone/some-agent', private=True))
    except umi.StorageError as error:
        print(error)
"""


def test_an_agent_is_pushed_as_a_repository_that_holds_its_run_directory(tmp_path):
    with fake_hub() as hub:
        ended = python(PUSH, HF_HOME=str(tmp_path), HF_HUB_OFFLINE="0", HF_ENDPOINT=hub.url, **SIGNED_IN)
    assert ended.stdout.strip() == f"{hub.url}/someone/some-agent", ended.stderr
    [created] = hub.created
    assert (created["name"], created["organization"]) == ("some-agent", "someone")
    assert "private" in (created.get("visibility"), *(key for key, value in created.items() if value is True))
    assert tomllib.loads(hub.files["umi.toml"].decode())["roles"]["planner"]["model"] == "some-model"


def test_a_hub_that_refuses_is_told_in_words(tmp_path):
    with fake_hub(refuses=True) as hub:
        ended = python(PUSH, HF_HOME=str(tmp_path), HF_HUB_OFFLINE="0", HF_ENDPOINT=hub.url, **SIGNED_IN)
    assert "someone/some-agent: cannot be uploaded to the Hugging Face Hub" in ended.stdout, ended.stderr


def test_a_gguf_file_that_is_not_there_is_refused_by_name():
    with pytest.raises(umi.AlphaUMiError, match=r"umi\.gguf: no such model; name a folder, a \.gguf file, a hub id"):
        umi.load("umi.gguf")


@bundled
def test_what_was_saved_is_json_that_tells_the_same_provenance(tmp_path):
    with umi.load() as agent:
        saved = agent.save_pretrained(tmp_path / "saved")
    assert json.loads((saved / "provenance.json").read_text()) == json.loads(
        (FOLDER / DEFAULT / "provenance.json").read_text()
    )

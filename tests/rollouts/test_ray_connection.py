"""Errors of `--on ray` where no cluster answers, with what to do about Ray's token."""

from types import SimpleNamespace

import pytest

from alpha_umi.errors import ConfigError
from alpha_umi.jobs import ray as job


class RayError(Exception):
    pass


def refusing(error):
    """Ray, as far as a connection needs it, that raises this error."""

    def init(**_):
        raise error

    return SimpleNamespace(is_initialized=lambda: False, init=init, exceptions=SimpleNamespace(RayError=RayError))


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.7:6379")
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def leave_token(home):
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text("t" * 48)


def said(error=ConnectionError("Failed to connect")):  # noqa: B008
    with pytest.raises(ConfigError) as raised:
        job._connect(refusing(error))
    assert "no Ray cluster at '10.0.0.7:6379'" in str(raised.value)
    return str(raised.value)


def test_a_token_that_a_local_cluster_left_is_named_with_what_to_set(home):
    assert "RAY_AUTH_MODE" not in said()
    leave_token(home)
    assert f"it may ask for the token in {home}/.ray/auth_token: set RAY_AUTH_MODE=token" in said()


def test_a_mode_without_a_token_is_named(home, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    assert "unset RAY_AUTH_MODE, or give the cluster's token by RAY_AUTH_TOKEN" in said(RayError("no token\nwas found"))
    leave_token(home)
    assert "RAY_AUTH_MODE" not in said()

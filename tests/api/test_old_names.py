"""Functions of the previous version whose import path is a module now."""

import pytest

import alpha_umi as umi
from alpha_umi.deprecation import RenamedWarning
from support.coded_agents import Echo


def upper(text: str) -> str:
    """Text in capitals."""
    return text.upper()


def test_ask_of_the_jobs_can_be_called_and_warns():
    import alpha_umi.jobs.ask

    with pytest.warns(RenamedWarning, match=r"alpha_umi\.jobs\.ask\.ask"):
        answer = alpha_umi.jobs.ask("hello", tools=[upper], agent=Echo()).answer
    assert answer == "hello: HELLO"


@pytest.mark.parametrize("name", ["train", "predict"])
def test_jobs_that_are_modules_now_can_be_called_and_warn(name):
    import alpha_umi.jobs.predict
    import alpha_umi.jobs.train

    with pytest.warns(RenamedWarning, match=rf"jobs\.{name}\.{name}"), pytest.raises(TypeError):
        getattr(alpha_umi.jobs, name)()


def test_public_verbs_are_functions_and_not_modules():
    assert callable(umi.ask)
    assert type(umi.train).__name__ == type(umi.predict).__name__ == "function"

"""How often calls are right by how sure the agent was of them."""

import math

import pytest

from alpha_umi.evaluation.reliability import Reliability, least_confidence
from alpha_umi.types import Call, User

TOLD = Reliability(tuple((at / 10, at >= 5) for at in range(1, 11)))


def test_fifths_of_the_tasks_by_rising_confidence():
    bins = TOLD.bins()
    assert [(each.low, each.high) for each in bins] == [(0.1, 0.2), (0.3, 0.4), (0.5, 0.6), (0.7, 0.8), (0.9, 1.0)]
    assert [each.right.value for each in bins] == [0, 0, 1, 1, 1]
    assert sum(each.right.count for each in Reliability(TOLD.pairs[:7]).bins()) == 7
    assert Reliability(()).bins() == []


def test_a_threshold_keeps_the_tasks_that_are_at_least_so_sure():
    assert (TOLD.kept(0.5).count, TOLD.kept(0.5).value) == (6, 1.0)
    assert (TOLD.kept(0.2).count, TOLD.kept(0.2).value) == (9, pytest.approx(6 / 9))
    assert TOLD.kept(1.1).count == 0


def test_the_error_is_the_distance_of_confidence_and_share():
    assert Reliability(((1.0, True), (1.0, False))).error == pytest.approx(0.5)
    assert Reliability(((0.0, False), (1.0, True))).error == 0
    assert math.isnan(Reliability(()).error)


def test_a_task_is_as_sure_as_its_least_sure_call():
    calls = [Call(name="a", arguments="{}", confidence=math.log(each)) for each in (0.5, 0.25)]
    assert least_confidence([User(text="q"), *calls]) == pytest.approx(0.25)
    assert least_confidence([Call(name="a", arguments="{}"), User(text="q")]) is None

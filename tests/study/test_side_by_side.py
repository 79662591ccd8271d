"""Pieces of work beside each other: what is told of them, what becomes of failures, that nothing is left running."""

import multiprocessing
import time

import pytest

from alpha_umi.errors import DataError
from alpha_umi.jobs.workers import Update, run_items
from support.piecework import do


@pytest.mark.parametrize("workers", [1, 2])
def test_every_piece_is_told_of_and_what_fails_is_named_without_ending_the_others(workers):
    updates, pieces = [], {"a": "", "b": "fail", "c": ""}
    assert run_items(pieces, do, updates.append, workers) == {"b": "no such file"}
    told = {name: [(one.at, one.done, one.total) for one in updates if one.what == name] for name in pieces}
    assert told["a"] == told["c"] == [("begun", 0, 2), ("ending", 2, 2), ("", 0, 1)]
    ended = [one for one in updates if one.ended]
    assert {one.what: one.error for one in ended} == {"a": "", "b": "no such file", "c": ""}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_piece_that_breaks_has_failed_and_the_others_are_done(workers):
    updates = []
    assert run_items({"a": "bug", "b": ""}, do, updates.append, workers) == {"a": "RuntimeError: out of memory"}
    assert Update(what="b", ended=True) in updates


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("error", [KeyboardInterrupt, DataError, KeyError])
def test_what_showing_raises_is_no_fault_of_a_piece(workers, error):
    def show(_):
        raise error("shown")

    with pytest.raises(error, match="shown"):
        run_items({"a": "", "b": ""}, do, show, workers)


def test_a_process_that_dies_has_failed():
    updates = []
    assert run_items({"a": "die", "b": ""}, do, updates.append, 2) == {"a": "its process ended with 9"}
    assert Update(what="b", ended=True) in updates


def test_what_is_raised_on_a_failure_ends_all_others_at_once():
    def show(update):
        if update.error:
            raise KeyError(update.what)

    started = time.monotonic()
    with pytest.raises(KeyError, match="b"):
        run_items({"a": "sleep", "b": "fail", "c": "sleep", "d": ""}, do, show, 3)
    assert time.monotonic() - started < 50
    assert not multiprocessing.active_children()

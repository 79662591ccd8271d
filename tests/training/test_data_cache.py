"""The cache of tokenized trajectories: what was put is given back, whatever happens to a process or its disk."""

import os
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_umi.formats.shared import SharedFormat
from alpha_umi.training.data.cache import TokenCache
from alpha_umi.training.data.labels import (
    Lengths,
    Tokeniser,
    TokenizedExample,
    TokenizedTrajectory,
)
from alpha_umi.types import Role
from alpha_umi.world import Split, World
from support import strategies
from support.cache_units import a_unit
from support.examples import examples
from support.folders import SOURCES, TESTS
from support.tiny_models import tiny_tokenizer

SHARED = SharedFormat()
TOKENIZER = tiny_tokenizer(SHARED.special_tokens, end=SHARED.end)
LONG = Lengths(prompt=100_000, example=200_000)
WORLD = World("tiny", 0)
GOLD = tuple(WORLD.gold(WORLD.task(Split.TRAIN, index)) for index in range(12))


id_lists = st.lists(st.integers(0, 5) | st.integers(0, 2**31 - 1), min_size=1, max_size=8)
sequenced = st.builds(
    lambda role, number, ids, completion, cut: TokenizedExample(
        role=role,
        number=number,
        ids=np.array(ids, np.int32),
        parts=np.array(completion[: len(ids)], np.uint8),
        cut=cut,
    ),
    st.sampled_from(Role),
    st.integers(0, 100),
    id_lists,
    st.lists(st.integers(0, 6), max_size=8),
    st.booleans(),
)
units = st.builds(
    lambda name, targets, examples: TokenizedTrajectory(id=name, targets=targets, examples=tuple(examples)),
    strategies.texts,
    st.integers(0, 100),
    st.lists(sequenced, max_size=4),
)


def told(unit):
    """A unit as values that compare."""
    return (
        unit.id,
        unit.targets,
        [(one.role, one.number, one.ids.tolist(), one.parts.tolist(), one.cut) for one in unit.examples],
    )


@pytest.mark.slow
@given(st.lists(units, min_size=1, max_size=3))
@settings(max_examples=examples(40), deadline=None)
def test_a_cache_gives_back_what_was_put(tmp_path_factory, kept):
    folder = tmp_path_factory.mktemp("cache")
    writer, reader = TokenCache(folder, "f", 10), TokenCache(folder, "f", 10)
    assert reader.get(0) is None
    for index, unit in enumerate(kept):
        writer.put(index, unit)
        assert told(reader.get(index)) == told(writer.get(index)) == told(unit)
    assert TokenCache(folder, "other", 10).get(0) is None
    again = pickle.loads(pickle.dumps(reader))  # noqa: S301
    assert told(again.get(0)) == told(kept[0])
    for cache in (writer, reader, again):
        cache.close()


def test_units_that_share_prefixes_take_the_room_of_what_is_new(tmp_path):
    unit = Tokeniser(TOKENIZER, SHARED, (Role.BACKBONE,), LONG)(max(GOLD, key=lambda one: len(one.turns)))
    cache = TokenCache(tmp_path, "f", 1)
    cache.put(0, unit)
    cache.close()
    size = sum(path.stat().st_size for path in tmp_path.glob("*/*.tokens"))
    assert len(unit.examples) > 2
    assert size < 3 * len(unit.examples[-1].ids) + 200


def test_two_processes_write_to_files_of_their_own_and_a_later_one_goes_on_in_a_free_one(tmp_path):
    one, two = TokenCache(tmp_path, "f", 10), TokenCache(tmp_path, "f", 10)
    for index in range(4):
        (one, two)[index % 2].put(index, a_unit(index))
    assert [told(cache.get(index)) for cache in (one, two) for index in range(4)] == [
        told(a_unit(i)) for i in range(4)
    ] * 2
    one.close()
    two.close()
    three = TokenCache(tmp_path, "f", 10)
    three.put(4, a_unit(4))
    assert [three.get(index).id for index in range(5)] == list("01234")
    three.close()
    assert len(list(tmp_path.glob("*/*.tokens"))) == 2


@pytest.mark.slow
@given(st.data())
@settings(max_examples=examples(25), deadline=None)
def test_whatever_happens_to_the_end_of_a_file_what_stands_before_is_read_and_the_rest_made_again(
    tmp_path_factory, data
):
    folder = tmp_path_factory.mktemp("torn")
    cache = TokenCache(folder, "f", 6)
    ends = [0]
    for index in range(5):
        cache.put(index, a_unit(index))
        (path,) = folder.glob("*/*.tokens")
        ends.append(path.stat().st_size)
    cache.close()
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        del content[at:]
    else:
        content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    whole = sum(end <= at for end in ends) - 1
    cache = TokenCache(folder, "f", 6)
    found = [cache.get(index) for index in range(5)]
    assert all(unit is None or told(unit) == told(a_unit(index)) for index, unit in enumerate(found))
    # A torn frame may bear the number of another record and hide it, which costs no more than making it again.
    assert sum(unit is None for unit in found[:whole]) <= 1
    cache.put(5, a_unit(5))
    for index in range(5):
        if cache.get(index) is None:
            cache.put(index, a_unit(index))
    cache.close()
    again = TokenCache(folder, "f", 6)
    assert [again.get(index).id for index in range(6)] == list("012345")
    again.close()


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from support.cache_units import a_unit
from alpha_umi.training.data.cache import TokenCache
cache = TokenCache(Path(sys.argv[1]), "f", 100_000)
for index in range(100_000):
    cache.put(index, a_unit(index, 2000))
    if index == 30:
        print("under way", flush=True)
"""


def test_what_a_process_put_before_it_was_killed_is_there(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, tmp_path, TESTS], env=environment, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout.readline() == "under way\n"
        time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    cache = TokenCache(tmp_path, "f", 100_000)
    count = next(index for index in range(100_000) if cache.get(index) is None)
    assert count > 30
    assert all(told(cache.get(index)) == told(a_unit(index, 2000)) for index in range(0, count, 17))
    cache.put(count, a_unit(count))
    assert cache.get(count).id == str(count)
    cache.close()
    assert len(list(tmp_path.glob("*/*.tokens"))) == 1


def test_a_full_disk_stops_the_cache_and_not_the_training(tmp_path):
    program = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from support.cache_units import a_unit
from alpha_umi.training.data.cache import TokenCache
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
cache = TokenCache(Path(sys.argv[1]), "f", 100)
for index in range(100):
    cache.put(index, a_unit(index, 200))
print(sum(cache.get(index) is not None for index in range(100)))
"""
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path, TESTS], env=environment, capture_output=True, text=True, check=True
    )
    assert 5 < int(done.stdout) < 100
    assert done.stderr.count("no longer kept") == 1

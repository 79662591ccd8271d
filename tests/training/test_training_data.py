"""From trajectories on disk to the shares of optimizer steps: what is counted, cut up, kept and made again."""

import gzip
import itertools
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_umi.datasets.processed import write_processed
from alpha_umi.errors import DataError
from alpha_umi.formats.shared import SharedFormat
from alpha_umi.formats.template import TemplateFormat
from alpha_umi.formats.tokens import completion_ids, prompt_ids
from alpha_umi.preparation.processed import read_processed_file
from alpha_umi.store import dump_line, encode_trajectory, write_trajectories
from alpha_umi.training.data.batches import (
    Layout,
    Packing,
    RankBatches,
    StepData,
    TokenizedTrajectories,
    fingerprint,
    pack,
)
from alpha_umi.training.data.cache import TokenCache
from alpha_umi.training.data.corpus import Corpus, Sources, _find, _walk_piece
from alpha_umi.training.data.examples import make_examples, targets
from alpha_umi.training.data.labels import (
    AdapterAssignment,
    Lengths,
    Tokeniser,
    TokenizedExample,
    TokenizedTrajectory,
    Weights,
    label,
)
from alpha_umi.training.data.order import Amount, Shuffle, order, shares
from alpha_umi.training.data.packing import WeightedExample
from alpha_umi.types import Answer, Call, Decision, Plan, Role, Task, ToolSpec, Trajectory, User
from alpha_umi.world import Split, World
from support import strategies
from support.cache_units import a_unit
from support.examples import examples
from support.folders import SOURCES, TESTS
from support.plain_format import PLAIN
from support.tiny_models import tiny_tokenizer

THREE = (Role.PLANNER, Role.CALLER, Role.SUMMARIZER)
SHARED, TEMPLATE = SharedFormat(), TemplateFormat.from_document(PLAIN)
TOKENIZER = tiny_tokenizer(SHARED.special_tokens, end=SHARED.end)
LONG = Lengths(prompt=100_000, example=200_000)
WORLD = World("tiny", 0)
GOLD = tuple(WORLD.gold(WORLD.task(Split.TRAIN, index)) for index in range(12))
NUMBERS = {Role.PLANNER: 1, Role.CALLER: 2, Role.SUMMARIZER: 3}

TASK = Task(id="t", query="q", tools=(ToolSpec(name="find"),))
PLAN = Plan(thought="look it up", decision=Decision.CALL)
CALL = Call(name="find", arguments='{"q": 1}')
ENDING, ANSWER = Plan(thought="I know", decision=Decision.CONCLUDE), Answer(text="It is so.")
SPOKEN = Trajectory(task=TASK, turns=(User(text="q"), PLAN, CALL, ENDING, ANSWER))


# --- labels -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", [SHARED, TEMPLATE])
@pytest.mark.parametrize("roles", [THREE, (Role.BACKBONE,)])
def test_ids_of_a_unit_are_those_of_its_prompts_and_completions(format, roles):  # noqa: A002
    tokenise = Tokeniser(TOKENIZER, format, roles, LONG)
    for trajectory in GOLD:
        unit = tokenise(trajectory)
        rows = [row for role in roles for row in make_examples(trajectory, role, format).rows]
        assert [example.ids.tolist() for example in unit.examples] == [
            prompt_ids(TOKENIZER, row.prompt) + completion_ids(TOKENIZER, row.completion, format.end) for row in rows
        ]
        assert [len(example.parts) for example in unit.examples] == [
            len(completion_ids(TOKENIZER, row.completion, format.end)) for row in rows
        ]
        assert [example.number for example in unit.examples] == list(range(unit.targets))


def test_a_loss_has_the_weight_of_its_part_and_a_prompt_has_none():
    weights = Weights(thought=2, decision=3, name=4, arguments=5, answer=6, mark=7, end=8)
    (first, second) = Tokeniser(TOKENIZER, SHARED, (Role.BACKBONE,), LONG)(SPOKEN).examples
    told = weighed(first, weights)
    assert told == [
        ("look it up", 2),
        ("<|call|>", 3),
        ("<|end|><|caller|>", 7),
        ("find", 4),
        ("\n", 7),
        ('{"q": 1}', 5),
        ("<|end|>", 8),
    ]
    assert weighed(second, weights)[-2:] == [("It is so.", 6), ("<|end|>", 8)]
    prompt = len(first.ids) - len(first.parts)
    assert not np.any(np.asarray(label(first, weights).weights)[:prompt])


def weighed(example, weights):
    """The completion as texts of one weight each."""
    labelled = label(example, weights)
    told = []
    for token, weight in zip(labelled.ids[-len(example.parts) :], labelled.weights[-len(example.parts) :], strict=True):
        text = TOKENIZER.decode([int(token)], skip_special_tokens=False)
        if told and told[-1][1] == weight:
            told[-1] = (told[-1][0] + text, weight)
        else:
            told.append((text, weight))
    return told


@pytest.mark.parametrize("role", THREE)
def test_the_scale_of_ms_swift_counts_action_action_input_and_next_and_what_follows_twice(role):
    published = TemplateFormat.from_document(
        {
            **PLAIN,
            "decision_marks": {"call": "Next: caller.", "conclude": "Next: conclusion.", "give_up": "Next: give up."},
        }
    )
    scale = Weights(decision=2, name=2, arguments=2, mark=2)
    for trajectory in GOLD:
        for example in Tokeniser(TOKENIZER, published, (role,), LONG)(trajectory).examples:
            *told, end = weighed(example, scale) if role is not Role.SUMMARIZER else [*weighed(example, scale), ("", 1)]
            pieces = re.split("(?=Action:|Action Input:|Next:)", "".join(text for text, _ in told))
            twice = "".join(piece for piece in pieces if re.match("Action:|Action Input:|Next:", piece))
            assert "".join(text for text, weight in told if weight == 2) == twice
            assert end[1] == 1
            assert bool(twice) == (role is not Role.SUMMARIZER)


def test_lora_tags_whole_examples_and_activated_lora_from_the_role_token_on():
    unit = Tokeniser(TOKENIZER, SHARED, THREE, LONG)(GOLD[0])
    token = {role: TOKENIZER.convert_tokens_to_ids(f"<|{role.value}|>") for role in THREE}
    assert {example.role for example in unit.examples} == set(THREE)
    for example in unit.examples:
        number = NUMBERS[example.role]
        assert label(example, Weights()).adapters is None
        assert set(label(example, Weights(), AdapterAssignment(numbers=NUMBERS)).adapters) == {number}
        tags = label(example, Weights(), AdapterAssignment(numbers=NUMBERS, from_role_token=True)).adapters
        at = int(np.argmax(tags != 0))
        assert example.ids[at] == token[example.role]
        assert at == len(example.ids) - len(example.parts) - 1
        assert set(tags[at:]) == {number}


def test_an_example_over_the_limit_is_left_out_and_the_others_keep_their_places():
    whole = Tokeniser(TOKENIZER, SHARED, THREE, LONG)(GOLD[0])
    longest = max(len(example.ids) for example in whole.examples)
    limited = Tokeniser(TOKENIZER, SHARED, THREE, Lengths(prompt=100_000, example=longest - 1))(GOLD[0])
    assert limited.targets == whole.targets
    kept = [example.number for example in whole.examples if len(example.ids) < longest]
    assert [example.number for example in limited.examples] == kept
    assert len(kept) < whole.targets


def test_a_prompt_over_the_window_is_cut_as_it_will_be_live_and_marked_so():
    lengths = Lengths(
        prompt=max(len(e.ids) for e in Tokeniser(TOKENIZER, SHARED, THREE, LONG)(GOLD[3]).examples) - 40, example=10_000
    )
    examples = Tokeniser(TOKENIZER, SHARED, THREE, lengths)(GOLD[3]).examples
    assert any(example.cut for example in examples)
    assert all(len(example.ids) - len(example.parts) <= lengths.prompt for example in examples)


# --- the corpus -------------------------------------------------------------------------------------------


def sources(folder, *paths, limit=None):
    return Sources(paths=paths, folder=folder / "cache", read_dialogues=read_processed_file, limit=limit)


@pytest.fixture
def gold_file(tmp_path):
    path = tmp_path / "gold.jsonl"
    write_trajectories(path, GOLD)
    return path


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "jsonl.zst"])
def test_a_corpus_gives_any_trajectory_of_its_files(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    write_trajectories(path, GOLD)
    blank = tmp_path / "b.jsonl"
    blank.write_text("\n" + "\r\n".join(json.dumps(encode_trajectory(one)) for one in GOLD[:3]) + "\n \n")
    corpus = Corpus.open(sources(tmp_path, path, blank))
    assert [corpus.read(index) for index in range(len(corpus))] == [*GOLD, *GOLD[:3]]
    for role in Role:
        counted = [sum(1 for _ in targets(one, role)) for one in (*GOLD, *GOLD[:3])]
        assert corpus.counts([role]).tolist() == counted
    assert corpus.counts(THREE).tolist() == [sum(corpus.counts([role])[at] for role in THREE) for at in range(15)]
    with pytest.raises(IndexError):
        corpus.read(15)


def test_processed_dialogues_are_a_corpus_too(tmp_path):
    path = tmp_path / "dialogues.json"
    path.write_text(json.dumps([write_processed(one) for one in GOLD]))
    corpus = Corpus.open(sources(tmp_path, path))
    assert [corpus.read(index) for index in range(len(corpus))] == list(read_processed_file(path))


def test_the_tools_of_a_corpus_are_named_unless_there_are_many(tmp_path, gold_file):
    corpus = Corpus.open(sources(tmp_path, gold_file))
    names = {tool.name for one in GOLD for tool in one.task.tools}
    assert corpus.tool_names() == tuple(sorted(names))
    assert corpus.tool_names(most=len(names) - 1) is None


def test_equal_queries_stand_at_one_place(tmp_path, gold_file):
    places = Corpus.open(sources(tmp_path, gold_file, gold_file)).places
    assert places[:12].tolist() == places[12:].tolist()
    assert len(set(places.tolist())) == len({one.task.query for one in GOLD})
    assert 0 <= places.min() < 0.5 < places.max() < 1


def test_a_limit_takes_the_first_trajectories_only(tmp_path, gold_file):
    corpus = Corpus.open(sources(tmp_path, gold_file, gold_file, limit=13))
    assert len(corpus) == len(corpus.counts(THREE)) == len(corpus.sizes) == len(corpus.places) == 13
    assert corpus.read(12) == GOLD[0]
    with pytest.raises(IndexError):
        corpus.read(13)


@given(st.lists(st.integers(0, 40_000), max_size=5), st.lists(st.integers(0, len(GOLD) - 1), max_size=3))
@settings(max_examples=examples(30), deadline=None)
def test_a_file_walked_in_any_pieces_has_the_same_entries(tmp_path_factory, cuts, lines):
    path = tmp_path_factory.getbasetemp() / "pieces.jsonl"
    if not path.exists():
        write_trajectories(path, GOLD)
    text = _find(path, path)
    whole = _walk_piece(text, 0, text.size)
    starts = whole["offset"][lines].tolist()
    bounds = sorted({0, text.size, *starts, *(min(cut, text.size) for cut in cuts)})
    pieces = [_walk_piece(text, *bound) for bound in itertools.pairwise(bounds)]
    assert np.concatenate(pieces).tobytes() == whole.tobytes()
    assert len(whole) == len(GOLD)


def test_an_index_is_made_once_and_again_when_the_file_is_another(tmp_path, gold_file):
    told = []
    Corpus.open(sources(tmp_path, gold_file), lambda done, total: told.append((done, total)))
    size = gold_file.stat().st_size
    assert told[-1] == (size, size)
    told.clear()
    first = Corpus.open(sources(tmp_path, gold_file), lambda done, total: told.append(done))
    assert not told
    write_trajectories(gold_file, GOLD[:5])
    second = Corpus.open(sources(tmp_path, gold_file), lambda done, total: told.append(done))
    assert told
    assert len(second) == 5
    assert first.fingerprint != second.fingerprint
    with pytest.raises(DataError, match=r"gold.jsonl: changed while it is being learned from"):
        first.read(0)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"schema": ', r"bad\.jsonl:3:\d+: broken JSON"),
        (b'{"schema": "other/1"}', r"bad\.jsonl:3: schema is 'other/1'"),
        (b'"\xff"', r"bad\.jsonl:3: not UTF-8 text at byte 1"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_broken_line_is_named(tmp_path, line, problem, packed):
    good = dump_line(encode_trajectory(GOLD[0])).encode()
    lines = good + b"\n" + line + b"\n" + good
    path = tmp_path / ("bad.jsonl.gz" if packed else "bad.jsonl")
    path.write_bytes(gzip.compress(lines) if packed else lines)
    if packed and b"\xff" in line:
        problem = "not UTF-8"
    with pytest.raises(DataError, match=problem.replace(r"\.jsonl", r"\.jsonl(\.gz)?")):
        Corpus.open(sources(tmp_path, path))


@pytest.mark.slow
def test_many_pieces_are_walked_on_several_cores_and_a_broken_line_in_the_last_is_named(tmp_path):
    path = tmp_path / "big.jsonl"
    lines = "".join(dump_line(encode_trajectory(one)) for one in GOLD)
    repeats = (9 * (8 << 20)) // len(lines) + 1
    with path.open("w") as file:
        for _ in range(repeats):
            file.write(lines)
        file.write("{}\n")
    with pytest.raises(DataError, match=rf"big\.jsonl:{repeats * 12 + 1}: schema is None"):
        Corpus.open(sources(tmp_path, path), workers=2)


def test_a_file_that_is_not_there_is_an_error_with_its_name(tmp_path):
    with pytest.raises(DataError, match=r"none\.jsonl: no such file"):
        Corpus.open(sources(tmp_path, tmp_path / "none.jsonl"))


# --- the cache --------------------------------------------------------------------------------------------

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


# --- order ------------------------------------------------------------------------------------------------

all_counts = st.lists(st.integers(0, 7), min_size=1, max_size=30).map(np.array)
amounts = st.builds(
    lambda batch_size, epochs, max_steps: Amount(batch_size=batch_size, epochs=epochs, max_steps=max_steps),
    st.integers(1, 12),
    st.sampled_from([0.3, 1.0, 1.5, 3.0]),
    st.none() | st.integers(1, 9),
)


@given(all_counts, amounts, st.none() | st.integers(0, 9), st.sampled_from(Shuffle))
def test_steps_hold_enough_examples_and_epochs_follow_without_a_gap(counts, amount, seed, shuffle):
    steps = order(counts, amount, seed=seed, shuffle=shuffle)
    total = int(counts.sum())
    held = [sum(steps.examples(pick) for pick in steps.picks(step)) for step in range(len(steps))]
    if not total:
        assert len(steps) == 0
        return
    assert all(count >= amount.batch_size for count in (held if amount.max_steps else held[:-1]))
    largest = 1 if shuffle is Shuffle.EXAMPLE else int(counts.max())
    assert all(0 < count < amount.batch_size + largest for count in held)
    if amount.max_steps:
        assert len(steps) == amount.max_steps
    else:
        assert amount.epochs * total <= sum(held) + 1e-6
        assert sum(held) < amount.epochs * total + largest
    assert steps.epochs[-1] == pytest.approx(sum(held) / total)
    seen = Counter()
    for step in range(len(steps)):
        for pick in steps.picks(step):
            assert counts[pick.unit] > 0
            numbers = range(counts[pick.unit]) if pick.numbers is None else pick.numbers
            seen.update((pick.unit, number) for number in numbers)
    times = [seen[unit, number] for unit, count in enumerate(counts) for number in range(count)]
    assert max(times) - min(times) <= 1


@given(all_counts, amounts)
def test_an_order_is_a_function_of_the_seed_and_epochs_differ(counts, amount):
    first, again = (order(counts, amount, seed=4) for _ in range(2))
    assert [first.picks(step) for step in range(len(first))] == [again.picks(step) for step in range(len(again))]


def test_every_epoch_and_every_seed_has_an_order_of_its_own_and_no_seed_that_of_the_data():
    counts, amount = np.ones(40, int), Amount(batch_size=40, epochs=2)
    orders = [
        [pick.unit for pick in order(counts, amount, seed=seed).picks(epoch)] for seed in (0, 1) for epoch in (0, 1)
    ]
    assert len({tuple(one) for one in orders}) == 4
    assert all(sorted(one) == list(range(40)) for one in orders)
    assert [pick.unit for pick in order(counts, amount).picks(1)] == list(range(40))


@given(st.lists(st.integers(1, 100), max_size=30), st.integers(1, 5))
def test_shares_are_all_there_is_once_and_balanced(loads, processes):
    found = shares(loads, processes)
    assert sorted(index for share in found for index in share) == list(range(len(loads)))
    sums = [sum(loads[index] for index in share) for share in found]
    assert max(sums) - min(sums) <= max(loads, default=0)


# --- steps ------------------------------------------------------------------------------------------------


def step_data(tmp_path, *, layout=Layout.TREE, shuffle=Shuffle.TRAJECTORY, world_size=1, cached=False, limit=LONG):
    path = tmp_path / "gold.jsonl"
    if not path.exists():
        write_trajectories(path, GOLD)
    corpus = Corpus.open(sources(tmp_path, path))
    tokenise = Tokeniser(TOKENIZER, SHARED, THREE, limit)
    name = fingerprint(corpus, tokenise, SHARED.to_document())
    cache = TokenCache(tmp_path / "cache", name, len(corpus)) if cached else None
    steps = order(corpus.counts(THREE), Amount(batch_size=20, epochs=1.5), seed=3, shuffle=shuffle)
    tagging = AdapterAssignment(numbers=NUMBERS, from_role_token=True)
    packing = Packing(layout=layout, tokens_per_microbatch=4000, max_length=2000, tagging=tagging)
    return StepData(TokenizedTrajectories(corpus, tokenise, cache), steps, packing, world_size)


def values(share):
    """A share as values that compare."""
    fields = ("ids", "depths", "ends", "adapters", "segments", "at", "targets", "weights")
    forests = [[getattr(forest, field).tolist() for field in fields] for forest in share.micro_batches]
    return share.step, forests, share.examples, share.weight, share.ids, share.cut, share.left_out, share.alone


def losses(share):
    """What is to be learned: for every loss the path of ids that leads to it, its target and weight."""
    found = Counter()
    for forest in share.micro_batches:
        for at, target, weight in zip(forest.at, forest.targets, forest.weights, strict=True):
            behind = np.arange(at + 1)
            path = behind[forest.ends[: at + 1] > at]
            found[tuple(forest.ids[path]), tuple(forest.adapters[path]), int(target)] += round(float(weight), 4)
    return found


@pytest.mark.parametrize("shuffle", Shuffle)
def test_neither_layout_nor_the_number_of_processes_changes_what_a_step_holds(tmp_path, shuffle):
    plain = step_data(tmp_path, layout=Layout.ROWS, shuffle=shuffle)
    assert len(plain) > 2
    others = [step_data(tmp_path, layout=layout, shuffle=shuffle) for layout in (Layout.TREE, Layout.PADDED)]
    spread = step_data(tmp_path, shuffle=shuffle, world_size=3)
    for step in range(len(plain)):
        expected = plain[step]
        parts = [spread[3 * step + process] for process in range(3)]
        wanted = losses(expected)
        assert expected.weight == pytest.approx(sum(wanted.values()))
        for shown in ([other[step] for other in others], parts):
            alike = shown if shown is not parts else [parts]
            for one in alike:
                made = sum((losses(part) for part in (one if isinstance(one, list) else [one])), Counter())
                assert made == wanted
        assert sum(part.examples for part in parts) == expected.examples
        assert sum(part.weight for part in parts) == pytest.approx(expected.weight)
        assert Counter(name for part in parts for name in part.ids) == Counter(expected.ids)


def test_a_tree_computes_less_than_rows_and_padded_rows_compute_more(tmp_path):
    tree, rows, padded = (step_data(tmp_path, layout=layout)[0] for layout in Layout)
    assert tree.tokens < rows.tokens == rows.alone == tree.alone
    assert padded.tokens == 2000 * padded.examples
    for share in (tree, rows, padded):
        assert all(forest.tokens <= 4000 for forest in share.micro_batches)


@pytest.mark.parametrize(("other", "tokens"), [((0, 0), 84), ((1, 0), 164), ((0, 1), 164)])
def test_trajectories_in_a_row_that_begin_alike_are_one_tree(other, tokens):
    def example(first, end, adapter=0):
        ids = [first, *range(2, 81), end, end]
        return WeightedExample(ids=ids, weights=[0.0] * 80 + [1.0, 1.0], adapters=[adapter] * len(ids))

    groups = [[example(0, 90)], [example(other[0], 91, other[1])]]
    packing = Packing(layout=Layout.TREE, tokens_per_microbatch=500, max_length=100)
    (forest,) = pack(groups, packing)
    assert forest.tokens == tokens
    assert len(forest.targets) == 4


def test_examples_left_out_are_counted_and_cost_no_step(tmp_path):
    whole = step_data(tmp_path)
    limit = Lengths(prompt=100_000, example=whole[0].alone // whole[0].examples)
    limited = step_data(tmp_path, limit=limit)
    assert len(limited) == len(whole)
    for one, other in zip(
        map(limited.__getitem__, range(len(whole))), map(whole.__getitem__, range(len(whole))), strict=True
    ):
        assert one.examples + one.left_out == other.examples
    assert sum(limited[step].left_out for step in range(len(limited))) > 0


def test_a_process_without_a_trajectory_has_an_empty_share(tmp_path):
    data = step_data(tmp_path, world_size=40)
    parts = [data[process] for process in range(40)]
    assert next(part for part in parts if not part.examples).micro_batches == []
    assert sum(part.examples for part in parts) == step_data(tmp_path)[0].examples


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on a machine of one core
def test_workers_and_a_cache_change_nothing_and_a_resumed_run_touches_only_what_is_left(tmp_path):
    data = step_data(tmp_path, world_size=2)
    expected = [values(data[index]) for index in range(1, len(data), 2)]
    assert [values(share) for share in RankBatches(data, process=1)] == expected
    cached = step_data(tmp_path, world_size=2, cached=True)
    assert [values(share) for share in RankBatches(cached, process=1, workers=2)] == expected
    assert [values(share) for share in RankBatches(cached, process=1, workers=1)] == expected
    resumed = RankBatches(cached, process=1, first_step=2, workers=1)
    assert len(resumed) == len(expected) - 2
    assert [values(share) for share in resumed] == expected[2:]


def test_a_cache_is_read_without_the_files_and_a_resumed_run_asks_for_nothing_earlier(tmp_path):
    data = step_data(tmp_path, cached=True)
    last = values(data[len(data) - 1])
    assert values(data[len(data) - 1]) == last
    write_trajectories(tmp_path / "gold.jsonl", GOLD[::-1])  # what is read from here on is refused
    data = pickle.loads(pickle.dumps(data))  # noqa: S301
    assert [values(share) for share in RankBatches(data, first_step=len(data) - 1)] == [last]
    with pytest.raises(DataError, match="changed while it is being learned from"):
        list(RankBatches(data))


def test_making_shares_leaves_the_random_state_of_training_alone(tmp_path):
    import torch

    before = torch.get_rng_state()
    next(iter(RankBatches(step_data(tmp_path))))
    assert torch.equal(before, torch.get_rng_state())


def test_what_ids_depend_on_is_in_the_fingerprint(tmp_path, gold_file):
    corpus = Corpus.open(sources(tmp_path, gold_file))
    tokenise = partial(Tokeniser, TOKENIZER, SHARED)
    other = tiny_tokenizer((*SHARED.special_tokens, "<|more|>"), end=SHARED.end)
    limited = Corpus.open(sources(tmp_path, gold_file, gold_file))
    document = SHARED.to_document()
    prints = [
        fingerprint(corpus, tokenise(THREE, LONG), document),
        fingerprint(corpus, tokenise((Role.PLANNER,), LONG), document),
        fingerprint(corpus, tokenise(THREE, Lengths(prompt=10, example=20)), document),
        fingerprint(corpus, Tokeniser(other, SHARED, THREE, LONG), document),
        fingerprint(corpus, tokenise(THREE, LONG), {**document, "version": 0}),
        fingerprint(limited, tokenise(THREE, LONG), document),
    ]
    assert len(set(prints)) == len(prints)
    assert prints[0] == fingerprint(corpus, tokenise(THREE, LONG), document)

"""From trajectories to the shares of optimizer steps: labels, order, and what is left out, cached and made again."""

import pickle
import re
from collections import Counter
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_umi.errors import DataError
from alpha_umi.formats.shared import SharedFormat
from alpha_umi.formats.template import TemplateFormat
from alpha_umi.formats.tokens import completion_ids, prompt_ids
from alpha_umi.preparation.processed import read_processed_file
from alpha_umi.store import write_trajectories
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
from alpha_umi.training.data.corpus import Corpus, Sources
from alpha_umi.training.data.examples import make_examples
from alpha_umi.training.data.labels import (
    AdapterAssignment,
    Lengths,
    Tokeniser,
    Weights,
    label,
)
from alpha_umi.training.data.order import Amount, Shuffle, order, shares
from alpha_umi.training.data.packing import WeightedExample
from alpha_umi.types import Answer, Call, Decision, Plan, Role, Task, ToolSpec, Trajectory, User
from alpha_umi.world import Split, World
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


def sources(folder, *paths, limit=None):
    return Sources(paths=paths, folder=folder / "cache", read_dialogues=read_processed_file, limit=limit)


@pytest.fixture
def gold_file(tmp_path):
    path = tmp_path / "gold.jsonl"
    write_trajectories(path, GOLD)
    return path


def told(unit):
    """A unit as values that compare."""
    return (
        unit.id,
        unit.targets,
        [(one.role, one.number, one.ids.tolist(), one.parts.tolist(), one.cut) for one in unit.examples],
    )


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

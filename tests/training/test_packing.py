"""Prefix trees: what a row holds is exactly what its examples hold, each token once."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_umi.training.data.packing import WeightedExample, bin_pack, concatenate, pack_prefix_trees, path
from support.examples import examples

unhurried = settings(deadline=None, max_examples=examples(60))  # a busy machine is no failure
weights = st.sampled_from([0.0, 0.0, 1.0, 2.0, 0.5])


@st.composite
def labelled(draw, tagged):
    """A short example over three ids, so that prefixes, branches and duplicates are common."""
    ids = draw(st.lists(st.integers(0, 2), min_size=1, max_size=9))
    rest = ids[1:]
    marks = [0.0, *(draw(weights) for _ in rest)]
    tags = None
    if tagged:
        start, tag = draw(st.integers(0, len(ids))), draw(st.integers(0, 2))
        tags = [0 if at < start else tag for at in range(len(ids))]
    return WeightedExample(ids=ids, weights=marks, adapters=tags)


groups = st.booleans().flatmap(lambda tagged: st.lists(labelled(tagged), min_size=1, max_size=8))


def tags_of(example):
    return [0] * len(example.ids) if example.adapters is None else list(example.adapters)


def keys_of(example):
    return list(zip(example.ids, tags_of(example), strict=True))


def prefixes(examples):
    return {tuple(keys_of(example)[:stop]) for example in examples for stop in range(1, len(example.ids) + 1)}


def paths_of(forest):
    """Every root-to-token path of a forest as the keys along it."""
    keys = list(zip(forest.ids.tolist(), forest.adapters.tolist(), strict=True))
    found = []
    for segment in range(len(forest.segments)):
        along = path(forest.segments, segment)
        start, stop, _ = forest.segments[segment]
        found.extend(tuple(keys[at] for at in along[: len(along) - back]) for back in range(stop - start))
    return found


def wanted(examples):
    """The summed weights of (what stands before with its adapters, target)."""
    losses = Counter()
    for example in examples:
        for at, weight in enumerate(example.weights):
            if weight:
                losses[tuple(keys_of(example)[:at]), example.ids[at]] += weight
    return losses


def held(forests):
    """The same, as the forests hold them."""
    losses = Counter()
    for forest in forests:
        keys = list(zip(forest.ids.tolist(), forest.adapters.tolist(), strict=True))
        for at, target, weight in zip(forest.at, forest.targets, forest.weights, strict=True):
            before = [k for k in range(at + 1) if k <= at < forest.ends[k]]
            losses[tuple(keys[k] for k in before), int(target)] += float(weight)
    return losses


@unhurried
@given(groups)
def test_a_tree_holds_every_prefix_of_its_examples_once_and_nothing_else(examples):
    (forest,) = pack_prefix_trees(examples)
    assert Counter(paths_of(forest)) == Counter(prefixes(examples))
    assert forest.tokens == len(prefixes(examples))


@unhurried
@given(groups)
def test_the_depth_of_a_token_is_its_position_in_its_examples(examples):
    (forest,) = pack_prefix_trees(examples)
    for segment, (start, stop, parent) in enumerate(forest.segments.tolist()):
        along = path(forest.segments, segment)
        assert forest.depths[along].tolist() == list(range(len(along)))
        assert parent < segment
        assert start < stop


@unhurried
@given(groups)
def test_a_query_sees_exactly_its_ancestors_and_itself(examples):
    (forest,) = pack_prefix_trees(examples)
    token = np.arange(forest.tokens)
    sees = (token <= token[:, None]) & (token[:, None] < forest.ends)
    for segment, (start, stop, _) in enumerate(forest.segments.tolist()):
        along = path(forest.segments, segment)
        for query in range(start, stop):
            assert np.flatnonzero(sees[query]).tolist() == along[along <= query].tolist()


@unhurried
@given(groups)
def test_a_tree_wants_what_its_examples_want(examples):
    assert held(pack_prefix_trees(examples)) == wanted(examples)


@unhurried
@given(groups)
def test_every_loss_stands_once_and_in_order(examples):
    (forest,) = pack_prefix_trees(examples)
    pairs = list(zip(forest.at.tolist(), forest.targets.tolist(), strict=True))
    assert pairs == sorted(set(pairs))


@unhurried
@given(groups, st.integers(1, 30))
def test_splitting_keeps_every_example_whole_and_its_losses_once(examples, budget):
    forests = pack_prefix_trees(examples, budget)
    assert held(forests) == wanted(examples)
    longest = {tuple(keys_of(example)) for example in examples if len(example.ids) > budget}
    for forest in forests:
        assert forest.tokens <= budget or longest & set(paths_of(forest))
    ends = Counter(found for forest in forests for found in set(paths_of(forest)))
    assert all(ends[tuple(keys_of(example))] >= 1 for example in examples)


@unhurried
@given(groups)
def test_what_fits_is_not_split(examples):
    assert len(pack_prefix_trees(examples, len(prefixes(examples)))) == 1


def test_a_split_repeats_as_little_as_can_be():
    trunk = list(range(100, 120))
    early = [
        WeightedExample(ids=[*trunk[:4], 1, 1, 1], weights=[0] * 7),
        WeightedExample(ids=[*trunk[:4], 2, 2, 2], weights=[0] * 7),
    ]
    late = [WeightedExample(ids=[*trunk, 3], weights=[0] * 21), WeightedExample(ids=[*trunk[:18], 4], weights=[0] * 19)]
    whole = pack_prefix_trees([*early, *late])[0].tokens
    halves = pack_prefix_trees([*early, *late], 22)
    assert sum(forest.tokens for forest in halves) == whole + 4
    assert sorted(forest.tokens for forest in halves) == [10, 22]


@unhurried
@given(groups, st.integers(3, 40))
def test_a_split_is_the_cheapest_of_all_in_tree_order(examples, budget):
    def tokens(part):
        return len(prefixes(part))

    (forest,) = pack_prefix_trees(examples)
    place = {found: number for number, found in enumerate(paths_of_in_order(forest))}
    walked = sorted(examples, key=lambda example: place[tuple(keys_of(example))])
    cheapest = {0: 0}
    for stop in range(1, len(walked) + 1):
        cheapest[stop] = min(
            cheapest[start] + tokens(walked[start:stop])
            for start in range(stop)
            if stop - start == 1 or tokens(walked[start:stop]) <= budget
        )
    assert sum(forest.tokens for forest in pack_prefix_trees(examples, budget)) == cheapest[len(walked)]


def paths_of_in_order(forest):
    """As `paths_of`, by the place of the last token."""
    found = {}
    keys = list(zip(forest.ids.tolist(), forest.adapters.tolist(), strict=True))
    for segment in range(len(forest.segments)):
        along = path(forest.segments, segment)
        start = forest.segments[segment, 0]
        for stop in range(1, len(along) + 1):
            if along[stop - 1] >= start:
                found[int(along[stop - 1])] = tuple(keys[at] for at in along[:stop])
    return [found[at] for at in sorted(found)]


def test_the_longest_path_stands_in_one_run_at_the_front():
    trunk = list(range(10, 20))
    examples = [WeightedExample(ids=[*trunk[:stop], 1], weights=[0] * (stop + 1)) for stop in (3, 6, 10)]
    (forest,) = pack_prefix_trees(examples)
    assert forest.ids.tolist() == [*trunk, 1, 1, 1]
    assert forest.depths.tolist() == [*range(11), 6, 3]
    assert forest.ends.tolist() == [*[13] * 3, *[12] * 3, *[11] * 5, 12, 13]


def test_equal_tokens_under_other_adapters_are_not_shared():
    both = [WeightedExample(ids=[1, 2], weights=[0, 1], adapters=[0, tag]) for tag in (1, 2)]
    (forest,) = pack_prefix_trees(both)
    assert forest.tokens == 3
    assert forest.at.tolist() == [0]
    assert forest.weights.tolist() == [2.0]
    assert pack_prefix_trees([*both, WeightedExample(ids=[1, 3], weights=[0, 0])])[0].adapters.tolist().count(0) == 2


def test_no_adapters_are_the_base_alone():
    bare, zero = (
        WeightedExample(ids=[1, 2], weights=[0, 1]),
        WeightedExample(ids=[1, 2], weights=[0, 1], adapters=[0, 0]),
    )
    assert pack_prefix_trees([bare, zero])[0].tokens == 2


def test_very_deep_trees_are_no_recursion():
    examples = [WeightedExample(ids=[7] * stop, weights=[0.0] * stop) for stop in range(1, 1050)]
    (forest,) = pack_prefix_trees(examples)
    assert forest.tokens == 1049


@pytest.mark.parametrize(
    ("ids", "marks", "tags"), [([], [], None), ([1], [1.0], None), ([1, 2], [0.0], None), ([1, 2], [0, 1], [1])]
)
def test_labels_that_do_not_fit_their_ids_are_refused(ids, marks, tags):
    with pytest.raises(ValueError, match="as many"):
        WeightedExample(ids=ids, weights=marks, adapters=tags)


def test_nothing_makes_no_tree_and_an_empty_row():
    assert pack_prefix_trees([]) == []
    row = concatenate([])
    assert row.tokens == len(row.segments) == len(row.at) == 0


@unhurried
@given(st.lists(groups, min_size=1, max_size=3))
def test_joined_trees_stand_side_by_side(several):
    forests = [forest for examples in several for forest in pack_prefix_trees(examples)]
    row = concatenate(forests)
    assert held([row]) == sum((held([forest]) for forest in forests), Counter())
    assert Counter(paths_of(row)) == sum((Counter(paths_of(forest)) for forest in forests), Counter())
    start = 0
    for forest in forests:
        assert (row.ends[start : start + forest.tokens] <= start + forest.tokens).all()
        start += forest.tokens


@unhurried
@given(st.lists(st.integers(1, 12), max_size=20), st.integers(1, 12))
def test_bins_hold_everything_once_and_no_two_could_be_one(lengths, budget):
    bins = bin_pack(lengths, budget)
    assert sorted(index for each in bins for index in each) == list(range(len(lengths)))
    sums = [sum(lengths[index] for index in each) for each in bins]
    assert all(total <= budget or len(each) == 1 for total, each in zip(sums, bins, strict=True))
    assert sum(total <= budget / 2 for total in sums) <= 1


def test_bins_are_filled_first_fit_from_the_longest():
    assert bin_pack([2, 5, 4, 1, 3], 6) == [[1, 3], [2, 0], [4]]
    assert bin_pack([9, 1], 6) == [[0], [1]]

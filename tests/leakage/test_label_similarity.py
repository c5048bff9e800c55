"""How much a column alone tells of a label."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.leakage.label_similarity import auc, likeness, ranks

FLAGS = pa.array([False, True] * 20)


def score(column, label):
    found = likeness(pa.array(column), pa.array(label))
    return None if found is None else (found.measure, round(found.score, 6))


def test_the_label_itself_is_told_completely():
    assert score(FLAGS, FLAGS) == ("AUC", 1.0)
    assert score([3.0, -1.0] * 20, FLAGS) == ("AUC", 1.0)  # whichever way it points


def test_noise_tells_nothing():
    noise = np.random.default_rng(0).normal(size=2_000)
    flags = np.random.default_rng(1).random(2_000) < 0.3
    found = likeness(pa.array(noise), pa.array(flags))
    assert found.score < 0.55
    assert not found.suspicious


def test_a_constant_column_tells_nothing_even_of_a_rare_label():
    rare = [False] * 990 + [True] * 10
    assert score([False] * 1000, rare) == ("AUC", 0.5)
    assert score(["no"] * 1000, ["no"] * 990 + ["yes"] * 10) == ("equal", 0.5)


def test_being_null_may_tell_the_label():
    column = [None if flag else 1.0 for flag in FLAGS.to_pylist()]
    assert score(column, FLAGS) == ("AUC of being null", 1.0)


def test_numbers_are_compared_by_value_and_by_rank():
    label = [float(n) for n in range(50)]
    assert score([2 * x + 1 for x in label], label) == ("correlation", 1.0)
    assert score([x**9 for x in label], label) == ("correlation", 1.0)
    assert score([5.0] * 50, label) == ("correlation", 0.0)


def test_text_is_compared_by_being_the_same():
    label = ["late", "early", "on time"] * 10
    assert score(label, label) == ("equal", 1.0)
    assert score(["late"] * 30, label) == ("equal", round(1 / 3, 6))


@pytest.mark.parametrize(
    ("column", "label"),
    [([1.0, 2.0], [False, True]), ([1.0] * 30, [True] * 30), ([[1]] * 30, [1.0, 2.0, 3.0] * 10)],
)
def test_too_little_to_measure_is_no_likeness(column, label):
    assert score(column, label) is None


@given(st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=2, max_size=40))
def test_auc_is_the_share_of_pairs_in_order(pairs):
    values = np.array([float(v) for v, _ in pairs])
    positive = np.array([p for _, p in pairs])
    above, below = values[positive], values[~positive]
    if not len(above) or not len(below):
        assert auc(values, positive) == 0.5
        return
    wins = sum((a > b) + 0.5 * (a == b) for a in above for b in below) / len(above) / len(below)
    assert auc(values, positive) == pytest.approx(max(wins, 1 - wins))


def test_ties_share_their_rank():
    assert ranks(np.array([7.0, 1.0, 7.0, 3.0])).tolist() == [3.5, 1.0, 3.5, 2.0]

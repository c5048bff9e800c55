"""Intervals hold as often as they say: the usual one at one look, the other at any number."""

import random
from statistics import fmean, variance

import numpy as np
import pytest

from skewless.experiments.comparison import compare, mismatch


def test_the_interval_is_that_of_welch() -> None:
    rng = random.Random(1)
    control = [rng.gauss(5, 1) for _ in range(400)]
    treatment = [rng.gauss(6, 3) for _ in range(300)]
    found = compare(control, treatment, looks=1)
    error = (variance(control) / 400 + variance(treatment) / 300) ** 0.5
    assert found.difference == fmean(treatment) - fmean(control)
    assert found.interval is not None
    assert found.interval[1] - found.interval[0] == pytest.approx(2 * 1.959964 * error)


def false_alarms(looks: range) -> tuple[int, int, int]:
    """How often each interval leaves out zero at some look, of trials without a difference."""
    rng = np.random.default_rng(3)
    usual = anytime = trials = 0
    for trials in range(1, 201):  # noqa: B007 - the number of the last one is told
        one, two = rng.normal(0, 1, (2, looks[-1]))
        found = [compare(list(one[:n]), list(two[:n]), looks=1) for n in looks]
        usual += any(f.interval[0] > 0 or f.interval[1] < 0 for f in found)
        anytime += any(f.anytime[0] > 0 or f.anytime[1] < 0 for f in found)
    return usual, anytime, trials


def test_whoever_looks_often_errs_often_but_not_with_the_interval_for_that() -> None:
    usual, anytime, trials = false_alarms(range(50, 501, 50))
    assert usual > 0.1 * trials
    assert anytime <= 0.05 * trials


def test_few_outcomes_have_no_interval() -> None:
    found = compare([1.0] * 29, [2.0] * 500, looks=1)
    assert found.interval is None
    assert "at least 30" in found.verdict
    assert compare([], [], looks=1).difference is None


def test_the_verdict_says_what_looking_often_does() -> None:
    rng = random.Random(0)
    control = [rng.gauss(0, 1) for _ in range(300)]
    treatment = [value + 0.2 for value in control]
    first, second = (compare(control, treatment, looks=n) for n in (1, 2))
    assert "settled beforehand" in first.verdict
    assert "this is look 2" in second.verdict
    certain = compare(control, [v + 1 for v in control], looks=9)
    assert certain.verdict == "The treatment differs, however often this was looked at."
    none = compare(control, list(control), looks=1)
    assert none.verdict.startswith("No difference is shown")


def test_sizes_that_do_not_fit_the_share_are_unlikely() -> None:
    assert mismatch((90, 10), 0.1) == 1
    assert mismatch((9_000, 1_300), 0.1) < 1e-6
    assert mismatch((0, 0), 0.5) == 1

"""Every test's p-value is SciPy's, and curves are as good as all the numbers."""

import numpy as np
import pytest
import scipy.special
import scipy.stats

from skewless.drift.compare import FLOORS, compare, judged
from skewless.drift.distances import number_distances
from skewless.drift.profile import Profile
from skewless.drift.significance import (
    adjusted,
    chi_square,
    chi_square_p,
    cramers_v,
    detectable,
    kolmogorov_distance,
    kolmogorov_p,
    merged_cells,
    two_proportions,
)
from skewless.drift.sketches import Distinct, Quantiles, curve_of, number_hashes

CLOSE = 1e-9


def test_the_law_of_kolmogorov_is_that_of_scipy() -> None:
    for x in np.linspace(0.01, 6, 300):
        distance = x / np.sqrt(300 * 700 / 1000)
        assert abs(kolmogorov_p(distance, 300, 700) - scipy.special.kolmogorov(x)) < CLOSE


@pytest.mark.parametrize("n", [100, 1001])
def test_distances_of_few_numbers_are_exact(n: int) -> None:
    chance = np.random.default_rng(n)
    one, other = chance.normal(size=n), chance.normal(0.2, size=n - 7).round(1)
    found = kolmogorov_distance(curve_of(one), n, curve_of(other), n - 7)
    assert abs(found - scipy.stats.ks_2samp(one, other).statistic) < CLOSE


@pytest.mark.parametrize("ties", [False, True])
def test_distances_of_many_numbers_are_those_of_their_curves(ties: bool) -> None:
    chance = np.random.default_rng(3)
    one, other = chance.lognormal(size=300_000), chance.lognormal(0.05, size=50_000)
    if ties:
        one, other = one.round(), other.round()
    sketch = Quantiles()
    for start in range(0, len(one), 1000):
        sketch.add(one[start : start + 1000])
    found = kolmogorov_distance(sketch.curve(), len(one), curve_of(other), len(other))
    assert abs(found - scipy.stats.ks_2samp(one, other).statistic) < 0.0015


@pytest.mark.parametrize("freedom", [1, 2, 5, 49, 63, 500])
def test_chi_square_is_that_of_scipy(freedom: int) -> None:
    for statistic in np.linspace(0, 4 * freedom, 40):
        found = chi_square_p(statistic, freedom)
        assert abs(found - scipy.stats.chi2.sf(statistic, freedom)) < CLOSE


def test_a_table_is_tested_as_scipy_tests_it() -> None:
    table = np.random.default_rng(1).integers(20, 200, (2, 12))
    expected = scipy.stats.chi2_contingency(table, correction=False)
    statistic, freedom, p = chi_square(table.tolist())
    assert (freedom, round(statistic, 9)) == (expected.dof, round(expected.statistic, 9))
    assert abs(p - expected.pvalue) < CLOSE


def test_v_is_corrected_for_its_bias() -> None:
    # By hand: chi2 = 4 * 5**2 / 25 = 4 of 100 entities, so phi2 = 0.04, less 1 / 99 by chance;
    # r = c = 2 - 1 / 99, so V = sqrt(0.04 - 1 / 99) / sqrt(1 - 1 / 99) = sqrt(2.96 / 98).
    statistic, freedom, _ = chi_square([[30, 20], [20, 30]])
    assert abs(statistic - 4) < CLOSE
    assert abs(cramers_v(statistic, 100, freedom + 1) - (2.96 / 98) ** 0.5) < CLOSE
    assert cramers_v(100.0, 100, 2) == 1.0
    assert cramers_v(0.9, 100, 2) == 0.0  # less than chance gives
    assert cramers_v(0.0, 100, 1) == cramers_v(3.0, 0, 4) == 0.0
    wide = [[3, 5, 12], [9, 6, 5]]
    statistic, freedom, _ = chi_square(wide)
    n, phi2 = 40, statistic / 40
    least = min(2 - 1 / 39, 3 - 4 / 39) - 1
    assert abs(cramers_v(statistic, n, 3) - ((phi2 - 2 / 39) / least) ** 0.5) < CLOSE


def _texts(of: str, values: np.ndarray) -> Profile:
    counts = {str(value): float(count) for value, count in enumerate(np.bincount(values)) if count}
    size = len(values)
    return Profile(
        of, "online", 0, 0, size, {"present": size}, size, size, counts=counts, complete=True
    )


def test_a_hundred_unchanged_categories_of_fifty_values_seldom_alarm() -> None:
    chance = np.random.default_rng(5)
    findings = []
    for number in range(100):
        one, other = (_texts(f"A@v1:f{number}", chance.integers(0, 50, 200)) for _ in range(2))
        findings += [each for each in compare(one, other) if each.what == "shape"]
    assert len(findings) == 100
    assert sum(each.drifted for each in judged(findings)) <= 1
    assert sum(each.effect >= FLOORS["V"] for each in findings) < 50  # the floor holds chance back


def test_rare_cells_are_one() -> None:
    assert merged_cells([[50, 3, 0, 2], [60, 4, 0, 1]]).tolist() == [[50, 5], [60, 5]]


def test_two_shares_are_a_chi_square_of_one_degree() -> None:
    table = [[30, 970], [55, 945]]
    expected = scipy.stats.chi2_contingency(table, correction=False).pvalue
    assert abs(two_proportions(30, 1000, 55, 1000) - expected) < CLOSE


def test_adjusted_p_values_are_those_of_scipy() -> None:
    given = np.random.default_rng(2).random(200) ** 3
    expected = scipy.stats.false_discovery_control(given)
    assert np.abs(np.array(adjusted(given.tolist())) - expected).max() < CLOSE
    assert adjusted([]) == []


def test_what_entities_could_show_is_the_five_percent_point_of_one_test() -> None:
    assert abs(detectable(1000, 1000) - 1.358 * np.sqrt(2 / 1000)) < 1e-4
    assert detectable(1000, 1000, tests=100) > detectable(1000, 1000)


def test_wasserstein_is_that_of_scipy() -> None:
    chance = np.random.default_rng(5)
    one, other = chance.normal(size=900), chance.normal(0.5, size=800)
    found = number_distances(curve_of(one), 900, curve_of(other), 800)
    expected = scipy.stats.wasserstein_distance(one, other) / one.std()
    assert abs(found["wasserstein_sd"] - expected) < CLOSE
    assert found["psi"] > found["psi_noise"]


@pytest.mark.parametrize("count", [10, 1_000, 5_000, 200_000])
def test_different_values_are_counted_to_some_percent(count: int) -> None:
    distinct = Distinct()
    numbers = np.arange(count, dtype=float)
    for _ in range(2):
        distinct.add(number_hashes(numbers))
    assert abs(distinct.estimate() / count - 1) < 0.08

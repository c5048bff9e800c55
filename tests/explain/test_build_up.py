"""How a value builds up: the last step is the value, to the bit, whatever the aggregation."""

from typing import Any

import pytest

import skewless as sl
from skewless.explain.build_up import MOST, aggregates_of, build_up
from skewless.formatting import same_bits
from skewless.testing.clock import SettableClock
from tests.shop import HOUR, MINUTE, NOON, pay, payments, spend_of

PAYS = payments(row_id="pay_id")
VIEW = spend_of(PAYS)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with sl.FeatureStore(tmp_path_factory.mktemp("build"), clock=SettableClock(NOON)) as fs:
        fs.apply(VIEW)
        rows = [
            pay(f"p{n}", NOON - n * 7 * MINUTE, float(n * n % 11), n=n, city=f"city {n % 4}")
            for n in range(40)
        ]
        fs.push("pays", rows, backdate=True)
        yield fs


@pytest.mark.parametrize("feature", VIEW.features)
def test_the_last_step_is_the_value(store: Any, feature: str) -> None:
    found = store.explain(f"Spend:{feature}", {"card_id": "c1"})
    for aggregate, part in zip(aggregates_of(VIEW, feature), found.aggregates, strict=True):
        steps = build_up(aggregate, part, found.at)
        assert len(steps) == part.verdicts.get("counted", 0)
        if steps:
            assert same_bits(steps[-1], part.value)


def test_each_step_is_the_value_that_was_explained_when_its_row_was_the_newest(store: Any) -> None:
    aggregate = VIEW.expressions["sum_n"]
    now = store.explain("Spend:sum_n", {"card_id": "c1"})
    steps = build_up(aggregate, now.aggregates[0], now.at)
    for at, expected in ((NOON - 7 * MINUTE, steps[-2]), (NOON - HOUR, steps[-10])):
        assert store.explain("Spend:sum_n", {"card_id": "c1"}, at=at).value == expected


def test_a_value_of_very_many_rows_is_not_built_up(store: Any) -> None:
    rows = [pay(f"m{n}", NOON - n, 1.0, card="many") for n in range(MOST + 1)]
    store.push("pays", rows, backdate=True)
    found = store.explain("Spend:count_1d", {"card_id": "many"})
    assert found.value == MOST + 1
    assert build_up(VIEW.expressions["count_1d"], found.aggregates[0], found.at) == []

"""Distributions of a view's features over all entities: exact, whatever the type."""

import json
import math

import pyarrow as pa
import pytest

import skewless as sl
from skewless.errors import InputError, UnknownName
from skewless.monitoring.statistics import column_statistics
from skewless.types import Date, Decimal, Float64, Int64, List, String
from tests.monitoring.shop import CARD, pay, payments, spend_of, store

ROWS = [
    pay("a", "11:10", 2.0),
    pay("b", "11:20", 4.0),
    pay("c", "11:30", 8.0, card="c2", city="Ulm"),
    pay("d", "11:40", None, card="c3"),
    pay("e", "11:50", 1.0, card="c4", known="12:03"),
]


@pytest.fixture
def fs(tmp_path):
    with store(tmp_path, spend_of(payments())) as opened:
        opened.push("pays", ROWS)
        yield opened


def of(fs, name):
    return next(f for f in fs.statistics("Spend").features if f.name == name)


def test_every_entity_counts_once(fs):
    found = fs.statistics("Spend")
    assert (found.view, found.entities) == ("Spend@v1", 4)
    total = of(fs, "total_1h")
    assert (total.count, total.nulls, total.distinct) == (4, 0, 3)
    assert (total.minimum, total.maximum, total.mean) == (0.0, 8.0, 3.5)
    assert total.quantiles[0.5] == 3.0


def test_null_values_are_counted_as_such(fs):
    last = of(fs, "last")
    assert (last.count, last.nulls, last.null_share) == (2, 2, 0.5)
    assert (last.mean, last.std) == (6.0, 2.0)


def test_text_has_its_most_frequent_values(fs):
    city = of(fs, "city")
    assert city.top == (("Bonn", 2), ("Ulm", 1))
    assert (city.minimum, city.maximum, city.mean) == ("Bonn", "Ulm", None)


def test_mean_and_deviation_do_not_lose_small_numbers_beside_large_ones():
    column = pa.array([1e16, 1.0, -1e16, 3.0])
    found = column_statistics("x", Float64, column)
    assert found.mean == 1.0
    shifted = column_statistics("x", Float64, pa.array([1e9 + x for x in (4.0, 7.0, 13.0, 16.0)]))
    assert shifted.std == math.sqrt(22.5)


def test_infinities_stay_out_of_mean_and_quantiles():
    found = column_statistics("x", Float64, pa.array([math.inf, 1.0, 3.0]))
    assert (found.count, found.mean, found.maximum, found.quantiles[0.5]) == (3, 2.0, math.inf, 2.0)
    assert json.dumps(found.to_dict()).count('"Infinity"') == 1


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        (Int64, [1, 2, None], {"count": 2, "mean": 1.5, "minimum": 1, "distinct": 2}),
        (Decimal(9, 2), ["1.10", "2.30"], {"mean": 1.7, "distinct": 2}),
        (Date, ["2026-01-01", "2026-01-01"], {"distinct": 1, "count": 2}),
        (List(Int64), [[1], None], {"count": 1, "nulls": 1, "distinct": None}),
        (String, [], {"count": 0, "null_share": 0.0, "top": ()}),
        (Float64, [None, None], {"count": 0, "nulls": 2, "mean": None, "minimum": None}),
    ],
)
def test_every_type_has_statistics(dtype, values, expected):
    column = pa.array([dtype.coerce(value) for value in values], dtype.arrow())
    found = column_statistics("x", dtype, column)
    assert {name: getattr(found, name) for name in expected} == expected
    json.dumps(found.to_dict())


def test_composite_keys_are_counted_as_pairs(tmp_path):
    pays = payments()
    view = sl.FeatureView(
        "Pairs",
        entity=sl.Entity("pair", card_id=str, city=str),
        source=pays,
        features={"n": pays.count("1h")},
    )
    with store(tmp_path, view) as fs:
        fs.push("pays", [*ROWS, pay("f", "11:15", city="Ulm"), pay("g", "11:15", city=None)])
        assert fs.statistics("Pairs").entities == 5


def test_on_demand_features_without_request_fields_have_statistics(tmp_path):
    spend = spend_of(payments())
    double = sl.on_demand(type("Double", (), {"total": spend.total_1h * 2}))
    amount = sl.Request("amount", float)
    asks = sl.on_demand(type("Asks", (), {"ratio": amount / spend.total_1h}))
    with store(tmp_path, spend, double, asks) as fs:
        fs.push("pays", ROWS)
        (only,) = fs.statistics("Double").features
        assert only.maximum == 16.0
        with pytest.raises(InputError, match="request fields"):
            fs.statistics("Asks")


def test_statistics_of_a_view_that_is_not_there_name_those_that_are(fs):
    with pytest.raises(UnknownName, match="Spend"):
        fs.statistics("Spent")


def test_a_view_without_rows_has_no_entities(tmp_path):
    with store(tmp_path, spend_of(payments())) as fs:
        found = fs.statistics("Spend")
        assert (found.entities, found.features[0].count) == (0, 0)
        assert str(found).startswith("Spend@v1: 0 entities")


def test_statistics_read_as_tables_of_numbers_and_of_text(fs):
    page = str(fs.statistics("Spend"))
    assert "total_1h   0.0%" in page
    assert "Bonn (2), Ulm (1)" in page
    assert CARD.name == "card"

"""Aggregations over gathered rows give the reference's values, however few are gathered at once."""

import pytest

import skewless as sl
from skewless.aggregations import span_sets
from skewless.clock import from_micros
from skewless.engines.reference import HistoryRow, view_values
from tests.engines import cases
from tests.engines.test_local_engine import bits, run_local

SOURCE = sl.Source("rows", schema=cases.SCHEMA | {"cents": sl.Decimal(12, 2)}, event_time="at")


def history(count):
    found = []
    for number in range(count):
        values = {
            "key": "kj"[number % 3 == 0],
            "x": None if number % 11 == 0 else (number * 37 % 101 - 50) / 8,
            "n": number * 7919 % 97,
            "word": None if number % 13 == 0 else f"w{number * 31 % 89}",
            "flag": number % 5 > 0,
            "cents": sl.Decimal(12, 2).coerce(f"{number % 17}.25"),
            "at": from_micros(number),
        }
        found.append(HistoryRow(values, number, number, number + 1))
    return found


SOME = SOURCE.where(SOURCE.flag)
VIEW = sl.FeatureView(
    "View",
    entity=cases.KEY,
    source=SOURCE,
    features={
        "many": SOURCE.word.approx_unique("150us", precision=5),
        "few": SOURCE.word.approx_unique(last=20, precision=5),
        "numbers": SOME.n.approx_unique("100us", precision=5),
        "by": SOURCE.n.approx_unique("200us", precision=5, by="word"),
        "quantile": SOURCE.x.approx_quantile(0.9, "90us"),
        "whole": SOME.n.approx_quantile(0.5, last=30, accuracy=0.1),
        "cents": SOURCE.cents.approx_quantile(0.2, "90us"),
        "quantile_by": SOURCE.x.approx_quantile(0.5, sl.session("4us"), by="word"),
        "exact": SOURCE.x.median("90us"),
        "exact_by": SOURCE.x.median("90us", by="word"),
    },
)
ROWS = history(240)
SPINE = [{"key": "kj?"[number % 3], "t": 260 - 13 * number} for number in range(20)]


@pytest.fixture(scope="module")
def expected():
    answers = [
        view_values(VIEW, ROWS, {"key": asked["key"]}, asked["t"], asked["t"]) for asked in SPINE
    ]
    return [{name: bits(value) for name, (value, _) in row.items()} for row in answers]


@pytest.mark.parametrize("at_once", [20, 4_000_000])
def test_values_do_not_depend_on_how_many_rows_are_gathered_at_once(monkeypatch, at_once, expected):
    monkeypatch.setattr(span_sets, "_ROWS", at_once)
    found = run_local(VIEW, ROWS, SPINE, "known")
    actual = [{name: bits(c[at].as_py()) for name, c in found.items()} for at in range(len(SPINE))]
    assert actual == expected
    assert max(found["many"].to_pylist()) > 32

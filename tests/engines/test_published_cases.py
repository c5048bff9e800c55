"""Values that others publish or compute: Chronon, OpenMLDB, pandas, DuckDB, Python's fsum."""

import math
import random

import pytest

from tests.engines.rows import row, source, value

S = source()
LEFT = source(closed="left")
SECOND = 1_000_000
DAY = 86_400 * SECOND


# ------------------------------------------------------------------------------------- Chronon


def test_chronon_quickstart_user_24():
    """The row its documentation prints (docs/source/authoring_features/Join.md): prices, sums,
    counts and averages. Times are not printed; these lie at the edges of its windows, which are
    [t - w, t) (aggregator NaiveAggregator.scala): closed on the left.
    """
    t = 1_701_320_475_364_000
    purchases = [
        row(t, 999.0),
        row(t - 3 * DAY, 331.0),
        row(t - 3 * DAY - 1, 474.0),
        row(t - 8 * DAY, 497.0),
        row(t - 14 * DAY, 272.0),
        row(t - 30 * DAY, 360.0),
    ]
    returns = [row(t - 14 * DAY, 76.0), row(t - 20 * DAY, 388.0), row(t - 30 * DAY, 181.0)]

    def at(feature, rows=purchases):
        return value(feature, rows, t, of=LEFT)

    assert [at(LEFT.x.sum(w)) for w in ("3d", "14d", "30d")] == [331.0, 1574.0, 1934.0]
    assert [at(LEFT.x.count(w)) for w in ("3d", "14d", "30d")] == [1, 4, 5]
    assert [at(LEFT.x.mean(w)) for w in ("3d", "14d", "30d")] == [331.0, 393.5, 386.8]
    assert at(LEFT.x.last_n(10))[::-1] == [331.0, 474.0, 497.0, 272.0, 360.0]
    assert [at(LEFT.x.sum(w), returns) for w in ("14d", "30d")] == [76.0, 645.0]
    assert [at(LEFT.x.mean(w), returns) for w in ("3d", "14d", "30d")] == [None, 76.0, 215.0]
    assert at(LEFT.x.last_n(2), returns)[::-1] == [76.0, 388.0]


def test_chronon_windows_hold_their_start_and_not_their_end(seed):
    """The condition of its NaiveAggregator without rounding: t - w <= event < t."""
    draw = random.Random(seed)
    rows = [row(draw.randrange(60)) for _ in range(40)]
    for t in range(0, 70, 3):
        expected = sum(t - 10 <= r.event < t for r in rows)
        assert value(LEFT.count("10us"), rows, t, of=LEFT, k=99) == expected


# ------------------------------------------------------------------------------------ OpenMLDB

# cases/function/window/test_window_exclude_current_time.yaml: seconds after 1590738990.
TIMES = [0, 0, 2, 3, 4, 4, 9, 11, 12]
CASES = [row(t * SECOND, 1.0, tiebreak=at) for at, t in enumerate(TIMES)]


def test_openmldb_rows_range_preceding_and_current_row():
    """Case 0 of test_window_row_range.yaml: 2s PRECEDING holds both ends of the window."""
    rows = [row(t * SECOND, x) for t, x in enumerate((30.0, 31.0, 32.0, 33.0))]
    sums = [value(S.x.sum("2s1us"), rows, r.event) for r in rows]
    assert sums == [30.0, 61.0, 93.0, 96.0]


def test_openmldb_rows_range_of_rows_at_equal_times():
    """Case 5: 3s PRECEDING, at the last row of each time."""
    expected = {0: 2.0, 2: 3.0, 3: 4.0, 4: 4.0, 9: 1.0, 11: 2.0, 12: 3.0}
    found = {t: value(S.x.sum("3s1us"), CASES, t * SECOND) for t in expected}
    assert found == expected


def test_openmldb_open_preceding_exclude_current_time():
    """Case 0: 4s OPEN PRECEDING, EXCLUDE CURRENT_TIME: (t - 4s, t) and the row itself."""
    expected = [1.0, 1.0, 3.0, 4.0, 3.0, 3.0, 1.0, 2.0, 3.0]
    window = LEFT.x.sum("3s999ms999us")
    assert [1.0 + value(window, CASES, t * SECOND, of=LEFT) for t in TIMES] == expected


def test_openmldb_rows_preceding():
    """Case 8: ROWS BETWEEN 6 PRECEDING AND CURRENT ROW are the last 7."""
    expected = {0: 2.0, 2: 3.0, 3: 4.0, 4: 6.0, 9: 7.0, 11: 7.0, 12: 7.0}
    assert {t: value(S.x.sum(last=7), CASES, t * SECOND) for t in expected} == expected


# ------------------------------------------------------------------- pandas, DuckDB and Python


def random_rows(seed, count=80):
    draw = random.Random(seed)
    times = sorted(draw.sample(range(4 * 3600), count))
    return [row(t * SECOND, draw.choice([draw.gauss(1e6, 1), draw.random()])) for t in times]


@pytest.mark.parametrize(("closed", "of"), [("right", S), ("left", LEFT)])
def test_sliding_windows_are_those_of_pandas_rolling(seed, closed, of):
    pandas = pytest.importorskip("pandas")
    rows = random_rows(seed)
    index = pandas.to_datetime([r.event for r in rows], unit="us", utc=True)
    series = pandas.Series([r.values["x"] for r in rows], index=index)
    rolling = series.rolling("1h", closed=closed, min_periods=1)
    checks = {
        "sum": of.x.sum("1h"), "mean": of.x.mean("1h"), "min": of.x.min("1h"),
        "max": of.x.max("1h"), "count": of.x.count("1h"), "median": of.x.median("1h"),
    }  # fmt: skip
    for name, feature in checks.items():
        expected = getattr(rolling, name)().tolist()
        for r, other in zip(rows, expected, strict=True):
            mine = value(feature, rows, r.event, of=of)
            if math.isnan(other):
                assert mine in (None, 0.0)
            else:
                assert mine == pytest.approx(other, rel=1e-6)


def test_sliding_windows_are_range_frames_of_duckdb(seed):
    duckdb = pytest.importorskip("duckdb")
    rows = random_rows(seed)
    table = duckdb.connect()
    table.execute("create table t (happened bigint, x double)")
    table.executemany("insert into t values (?, ?)", [(r.event, r.values["x"]) for r in rows])
    frame = f"over (order by happened range between {3600 * SECOND - 1} preceding and current row)"
    names = ("count", "min", "max", "fsum", "avg", "var_pop")
    asked = ", ".join(f"{name}(x) {frame}" for name in names)
    features = [S.x.count("1h"), S.x.min("1h"), S.x.max("1h"), S.x.sum("1h"), S.x.mean("1h"),
                S.x.var("1h")]  # fmt: skip
    found = table.execute(f"select {asked} from t order by happened").fetchall()
    for r, expected in zip(rows, found, strict=True):
        mine = [value(feature, rows, r.event) for feature in features]
        assert mine[:3] == list(expected[:3])
        assert mine[3:] == pytest.approx(list(expected[3:]), rel=1e-6, abs=1e-3)


def test_sums_are_exact_as_those_of_fsum(seed):
    draw = random.Random(seed)
    rows = [row(t, draw.choice([1e16, -1e16, 1e-16, 0.1, -0.3, 1e300, -1e300])) for t in range(50)]
    for t in range(0, 60, 4):
        inside = [r.values["x"] for r in rows if t - 20 < r.event <= t]
        assert value(S.x.sum("20us"), rows, t) == math.fsum(inside)


def test_the_order_rows_are_given_in_changes_no_bit(seed):
    draw = random.Random(seed)
    rows = random_rows(seed)
    expected = value(S.x.std("2h"), rows, 3 * 3600 * SECOND)
    draw.shuffle(rows)
    assert value(S.x.std("2h"), rows, 3 * 3600 * SECOND) == expected

"""Values that others publish or compute: Chronon, OpenMLDB, pandas, DuckDB, Python's fsum.

Each is asked of the reference engine, the local engine and a packed state: all three give it.
"""

import math
import random

import pytest

from skewless.engines.reference import view_values
from tests.engines.rows import row, source, view_of
from tests.engines.test_local_engine import run_local
from tests.state.states import Row, answers, bits, layout_of, updated

S = source()
LEFT = source(closed="left")
SECOND = 1_000_000
DAY = 86_400 * SECOND


def values(expression, rows, times, *, of=S):
    """The values of a feature at some moments, the same from history, online and by the reference."""
    view, layout = view_of(expression, of=of), layout_of(view_of(expression, of=of))
    expected = [view_values(view, rows, {"key": "k"}, t, t)["f"] for t in times]
    found = [value for value, _ in expected]
    offline = run_local(view, rows, [{"key": "k", "t": t} for t in times], "known")["f"]
    assert list(map(bits, offline.to_pylist())) == list(map(bits, found))
    kept = [Row(r.values, r.event, r.known, number) for number, r in enumerate(rows, start=1)]
    state = updated(layout, None, kept)
    online = [answers(view, layout, state, t)["f"] for t in times]
    assert online == [[bits(value), status.value] for value, status in expected]
    return found


def value(expression, rows, t, *, of=S):
    return values(expression, rows, [t], of=of)[0]


# ------------------------------------------------------------------------------------- Chronon

# github.com/airbnb/chronon, Apache-2.0: the rows of user 24 in purchases.csv and returns.csv of the
# quickstart's data (ai/chronon/test/sample/data, times in milliseconds) ...
PURCHASES = [
    (1698930853000, 360.0), (1700186464000, 272.0), (1700677019000, 497.0), (1700891861000, 474.0),
    (1701251152000, 331.0),
]  # fmt: skip
RETURNS = [(1699153026000, 181.0), (1699745142000, 388.0), (1700516264000, 76.0)]
# ... and the moment of the training row that its documentation prints for them
# (docs/source/authoring_features/Join.md and the quickstart).
AT = 1701320475364


def user_24(rows):
    return [row(millis * 1000, amount, tiebreak=n) for n, (millis, amount) in enumerate(rows)]


def test_chronon_quickstart_user_24():
    """Its windows are [t - w, t): closed on the left (aggregator NaiveAggregator.scala)."""
    purchases, returns = user_24(PURCHASES), user_24(RETURNS)

    def at(feature, rows=purchases):
        return value(feature, rows, AT * 1000, of=LEFT)

    assert [at(LEFT.x.sum(w)) for w in ("3d", "14d", "30d")] == [331.0, 1574.0, 1934.0]
    assert [at(LEFT.x.count(w)) for w in ("3d", "14d", "30d")] == [1, 4, 5]
    assert [at(LEFT.x.mean(w)) for w in ("3d", "14d", "30d")] == [331.0, 393.5, 386.8]
    assert at(LEFT.x.last_n(10))[::-1] == [331.0, 474.0, 497.0, 272.0, 360.0]
    assert [at(LEFT.x.sum(w), returns) for w in ("14d", "30d")] == [76.0, 645.0]
    assert [at(LEFT.x.count(w), returns) for w in ("14d", "30d")] == [1, 3]
    assert [at(LEFT.x.mean(w), returns) for w in ("3d", "14d", "30d")] == [None, 76.0, 215.0]
    assert at(LEFT.x.last_n(2), returns)[::-1] == [76.0, 388.0]
    # No return lies in the last three days: Chronon prints null, here it is the identity.
    assert (at(LEFT.x.sum("3d"), returns), at(LEFT.x.count("3d"), returns)) == (0.0, 0)


def test_chronon_windows_hold_their_start_and_not_their_end_at_the_edges():
    """A row at the very moment does not count; one exactly a window ago does."""
    t = AT * 1000
    rows = [
        row(t - 14 * DAY, 272.0),
        row(t - 3 * DAY - 1, 474.0),
        row(t - 3 * DAY, 331.0),
        row(t, 9.0),
    ]
    windows = [LEFT.x.sum(w) for w in ("3d", "14d")]
    assert [value(window, rows, t, of=LEFT) for window in windows] == [331.0, 1077.0]
    assert [value(window, rows, t + 1, of=LEFT) for window in windows] == [9.0, 814.0]


def test_chronon_windows_are_its_naive_aggregator(seed):
    """The condition of NaiveAggregator.scala without rounding: t - w <= event < t."""
    draw = random.Random(seed)
    rows = [row(draw.randrange(60), tiebreak=number) for number in range(1, 41)]
    times = range(0, 70, 3)
    expected = [sum(t - 10 <= r.event < t for r in rows) for t in times]
    assert values(LEFT.count("10us"), rows, times, of=LEFT) == expected


# ------------------------------------------------------------------------------------ OpenMLDB

# github.com/4paradigm/OpenMLDB, Apache-2.0: cases/function/window/*.yaml. The rows of
# test_window_exclude_current_time.yaml, seconds after 1590738990.
TIMES = [0, 0, 2, 3, 4, 4, 9, 11, 12]
CASES = [row(t * SECOND, 1.0, tiebreak=at) for at, t in enumerate(TIMES)]


def test_openmldb_rows_range_preceding_and_current_row():
    """Case 0 of test_window_row_range.yaml: 2s PRECEDING holds both ends of the window."""
    rows = [row(t * SECOND, x) for t, x in enumerate((30.0, 31.0, 32.0, 33.0))]
    sums = values(S.x.sum("2s1us"), rows, [r.event for r in rows])
    assert sums == [30.0, 61.0, 93.0, 96.0]


def test_openmldb_rows_range_count():
    """Case 6 of test_window_row_range.yaml: how many rows the same windows hold."""
    rows = [row(t * SECOND, 30.0) for t in range(4)]
    assert values(S.x.count("2s1us"), rows, [r.event for r in rows]) == [1, 2, 3, 3]


def test_openmldb_rows_range_of_rows_at_equal_times():
    """Case 5 of the rows above: 3s PRECEDING, at the last row of each time."""
    expected = {0: 2.0, 2: 3.0, 3: 4.0, 4: 4.0, 9: 1.0, 11: 2.0, 12: 3.0}
    found = values(S.x.sum("3s1us"), CASES, [t * SECOND for t in expected])
    assert found == list(expected.values())


def test_openmldb_open_preceding_exclude_current_time():
    """Case 0: 4s OPEN PRECEDING, EXCLUDE CURRENT_TIME: (t - 4s, t) and the row itself."""
    expected = [1.0, 1.0, 3.0, 4.0, 3.0, 3.0, 1.0, 2.0, 3.0]
    found = values(LEFT.x.sum("3s999ms999us"), CASES, [t * SECOND for t in TIMES], of=LEFT)
    assert [1.0 + others for others in found] == expected


def test_openmldb_rows_open_preceding_exclude_current_time():
    """Case 3: ROWS BETWEEN 7 OPEN PRECEDING are 6 earlier rows, and the row itself."""
    expected = [1.0, 1.0, 3.0, 4.0, 5.0, 5.0, 7.0, 7.0, 7.0]
    found = values(LEFT.x.sum(last=6), CASES, [t * SECOND for t in TIMES], of=LEFT)
    assert [1.0 + others for others in found] == expected


def test_openmldb_rows_preceding():
    """Case 8: ROWS BETWEEN 6 PRECEDING AND CURRENT ROW are the last 7."""
    expected = {0: 2.0, 2: 3.0, 3: 4.0, 4: 6.0, 9: 7.0, 11: 7.0, 12: 7.0}
    found = values(S.x.sum(last=7), CASES, [t * SECOND for t in expected])
    assert found == list(expected.values())


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
        found = values(feature, rows, [r.event for r in rows], of=of)
        for mine, other in zip(found, expected, strict=True):
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
    times = [r.event for r in rows]
    ours = zip(*(values(feature, rows, times) for feature in features), strict=True)
    for mine, expected in zip(ours, found, strict=True):
        assert mine[:3] == expected[:3]
        assert mine[3:] == pytest.approx(expected[3:], rel=1e-6, abs=1e-3)


def test_sums_are_exact_as_those_of_fsum(seed):
    draw = random.Random(seed)
    rows = [row(t, draw.choice([1e16, -1e16, 1e-16, 0.1, -0.3, 1e300, -1e300])) for t in range(50)]
    times = range(0, 60, 4)
    inside = [[r.values["x"] for r in rows if t - 20 < r.event <= t] for t in times]
    assert values(S.x.sum("20us"), rows, times) == list(map(math.fsum, inside))
    counted = [(t, xs) for t, xs in zip(times, inside, strict=True) if len(xs) in (1, 2, 4, 8, 16)]
    means = values(S.x.mean("20us"), rows, [t for t, _ in counted])
    assert means == [math.fsum(xs) / len(xs) for _, xs in counted]  # exact: a power of two


def test_the_order_rows_are_given_in_changes_no_bit(seed):
    draw = random.Random(seed)
    rows = random_rows(seed)
    expected = value(S.x.std("2h"), rows, 3 * 3600 * SECOND)
    draw.shuffle(rows)
    assert value(S.x.std("2h"), rows, 3 * 3600 * SECOND) == expected

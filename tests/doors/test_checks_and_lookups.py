"""Odd arguments of checks and lookups: refused where they are written, or what they say."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import skewless as sl
from skewless.errors import DefinitionError, SkewlessError
from tests.doors.odd import AT, VALUES, told
from tests.doors.test_python_values import CLOCK, NOW

Check = sl.Check
MADE: dict[str, Callable[[Any], Check]] = {
    "not_null": Check.not_null,
    "not_null, value": lambda v: Check.not_null("n", action="impute", value=v),
    "between": lambda v: Check.between("f", v),
    "between, action": lambda v: Check.between("f", 0, v, action="clip"),
    "between, times": lambda v: Check.between("t", v),
    "in_set": lambda v: Check.in_set("k", v),
    "in_set, of one": lambda v: Check.in_set("k", [v]),
    "matches": lambda v: Check.matches("k", v),
    "unique": Check.unique,
    "sums_to": lambda v: Check.sums_to(v, "f"),
    "sums_to, total": lambda v: Check.sums_to(["n"], v),
    "sums_to, within": lambda v: Check.sums_to(["n"], "f", within=v),
    "expr": Check.expr,
    "row_count": Check.row_count,
    "row_count, most": lambda v: Check.row_count(0, v),
    "change_of_count": Check.change_of_count,
    "mean_between": lambda v: Check.mean_between("f", v, 1.0),
    "fresh": Check.fresh,
    "share": lambda v: Check.not_null("n", share=v),
    "action": lambda v: Check.not_null("n", action=v),
    "value": lambda v: Check.in_set("k", ["a"], action="impute", value=v),
}


def source(*checks: Check) -> sl.Source:
    schema = {"k": str, "n": int, "f": float, "t": sl.Timestamp}
    return sl.Source("s", schema=schema, event_time="at", checks=list(checks))


def test_odd_arguments_of_checks_are_refused_or_carried_out(tmp_path: Path) -> None:
    """All that are taken stand in one source, and its rows are judged by each."""
    taken: dict[str, Check] = {}
    for make in MADE.values():
        for value in VALUES:
            try:
                made = make(value)
                source(made)
            except SkewlessError as problem:
                told(problem)
            else:
                taken[str(made.to_dict())] = made
    some = [each for each in taken.values() if not each.is_of_values][:150]
    its = source(*(Check.from_dict(each.to_dict()) for each in some))
    view = sl.FeatureView(
        "V", entity=sl.Entity("e", k=str), source=its, features={"n": its.n.latest()}
    )
    row = {"k": "a", "n": 1, "f": 1.5, "t": AT, "at": AT}
    with sl.FeatureStore(tmp_path, clock=CLOCK) as fs:
        fs.apply(view)
        rows = [row, dict.fromkeys(row) | {"at": AT}]
        assert fs.push("s", rows, backdate=True).accepted == 2
        assert len(fs.check().results) == len(its.checks) > 90


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: Check.in_set("k", "abc"), "values of a check are a list"),
        (lambda: Check.sums_to("nf", "f"), "columns of a check are a list"),
        (lambda: Check.sums_to([], "f"), "a sum of no columns"),
        (lambda: Check.sums_to(["n"], "f", within=float("nan")), "within of a check is a number"),
        (lambda: Check.matches("k", "(?=a)"), "not a regular expression"),  # RE2 has none
        (lambda: Check.matches("k", "\ud800"), "not a regular expression"),
        (lambda: Check.mean_between("f", 0, float("inf")), "greatest of a check is a number"),
        (lambda: Check.row_count(True), "a number of rows"),
        (lambda: Check.row_count(-1), "a number of rows"),
        (lambda: Check.change_of_count("0.5"), "most of a check is a number"),  # type: ignore[arg-type]
    ],
)
def test_what_no_check_means_is_refused(make: Callable[[], Check], what: str) -> None:
    with pytest.raises(DefinitionError, match=what):
        make()


LIMITS = pa.table({"k": ["a"], "v": [1]})


@pytest.mark.parametrize(
    "make",
    [
        lambda v: sl.Lookup("l", table=sl.Frame(LIMITS), key=v).rows,
        lambda v: sl.Lookup(v, table=sl.Frame(LIMITS), key="k").rows,
        lambda v: sl.Lookup("l", table=v, key="k").rows,
        lambda v: sl.Lookup("l", table=sl.Frame(v), key="k").rows,
        lambda v: sl.Lookup("l", table=sl.Frame(LIMITS), key="k")[v].v,
        lambda v: sl.Lookup("l", table=sl.Frame(LIMITS), key="k")[sl.Request("q", str)][v],
        lambda v: sl.Lookup(
            "l", table=sl.Frame(pd.DataFrame({"k": pd.Series([v], dtype=object)})), key="k"
        ).rows,
        lambda v: sl.Lookup(
            "l", table=sl.Frame(pd.DataFrame({"k": ["a"], "v": pd.Series([v], dtype=object)})),
            key="k",
        ).rows,
    ],
    ids=["key", "name", "table", "frame", "keys", "column", "key value", "value"],
)  # fmt: skip
def test_odd_arguments_of_lookups_are_refused_or_taken(make: Callable[[Any], Any]) -> None:
    for value in VALUES:
        try:
            make(value)
        except SkewlessError as problem:
            told(problem)


def test_a_path_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(SkewlessError, match="no path of a file"):
        sl.Lookup("l", table=sl.CSV("\ud800"), key="k").rows  # noqa: B018


def test_a_looked_up_value_is_the_one_that_stands_there(tmp_path: Path) -> None:
    for value in (1, -2.5, True, "a", 2**62, 1e300):
        frame = pa.table({"k": ["a"], "v": [value]})
        found = sl.Lookup("l", table=sl.Frame(frame), key="k")[sl.Request("q", str)].v
        view = sl.OnDemandView("Of", features={"y": found})
        with sl.FeatureStore(tmp_path, clock=CLOCK) as fs:
            fs.apply(fs.plan(view), allow_breaking=True)
            for asked, meant in (("a", value), ("b", None)):
                online = fs.get_online_features("Of", [{"q": asked}])["y"]
                trained = fs.get_historical_features([{"q": asked, "t": NOW}], "Of", timestamp="t")
                assert online == trained["y"] == [meant]

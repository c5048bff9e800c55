"""A plan lists what changes values, in words: not how a duration is written, and never a dict."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import skewless as sl
from skewless.definitions.tables import Parquet
from skewless.plan.apply.apply_plan import ApplyPlan
from skewless.registry.sqlite import SQLiteRegistry
from skewless.testing.shop import after, applied, card, payments


def spend(hours: Any, day: Any, week: Any, **changes: Any) -> Any:
    """Return a view with durations wherever there can be one, by three ways to write them."""
    rows = payments(delay=day, lateness=week, future=day)
    features = {
        "sliding": rows["amount"].mean(hours),
        "shifted": rows["amount"].sum(week, offset=day),
        "aligned": rows["amount"].sum(week, resolution=hours),
        "tumbling": rows.count(sl.tumbling(day)),
        "session": rows.count(sl.session(hours)),
        "newest": rows["amount"].latest(ttl=week),
        "decayed": rows["amount"].ewma(day, week),
        "burst": rows.burst(hours, week),
        "several": rows["amount"].max(hours) / rows["amount"].max(week),
    }
    return sl.FeatureView(
        "Spend", entity=card(), source=rows, features=features, lag=day, freshness=day, **changes
    )


def plan_of(tmp_path: Path, before: Any, now: Any) -> ApplyPlan:
    with SQLiteRegistry(tmp_path / "registry.db") as registry:
        applied(registry, before)
        return after(registry.state(), now)


@pytest.mark.parametrize(
    "written",
    [
        ("3600s", "24h", "7d"),
        ("60m", "86400s", "1w"),
        ("1h", "1440m", "168h"),
        (timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)),
    ],
    ids=str,
)
def test_a_duration_written_otherwise_is_no_change(tmp_path: Path, written: Any) -> None:
    plan = plan_of(tmp_path, spend("1h", "1d", "7d"), spend(*written))
    assert plan.is_empty, str(plan)


def test_a_duration_that_is_another_is_a_change_in_words(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, spend("1h", "1d", "7d"), spend("1h", "1d", "8d"))
    assert {step.name: step.action for step in plan.changed} == {
        "payments": "changed values",
        "Spend": "changed values",
    }
    said = str(plan)
    assert "lateness: 7d -> 8d" in said
    assert "604800" not in said
    assert "~ newest: " in said
    assert "~ tumbling: " not in said  # that feature is what it was
    assert "~ burst: " in said


ROWS = {"card_id": str, "amount": float, "country": str, "lot": str}
CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a table": ({}, {"table": Parquet("rows/", timezone="Europe/Berlin", ambiguous="latest")}),
    "a stream": (
        {},
        {"stream": sl.Kafka("t", "localhost:9092", columns={"lot": sl.key(), "amount": "a.b"})},
    ),
    "an Epoch": ({}, {"event_time": sl.Epoch("at", "ms")}),
    "a check": ({}, {"checks": [sl.Check.between("amount", 0, 9)]}),
    "words": (
        {},
        {
            "schema": ROWS
            | {"amount": sl.Column(float, "euros", unit="EUR", between=(0, 9), tags={"a": "b"})}
        },
    ),
    "types": (
        {},
        {"schema": ROWS | {"lot": sl.Struct({"a": int})}},
    ),
    "vectors": ({}, {"schema": ROWS | {"lot": sl.Vector(3)}}),
    "a row id": ({}, {"row_id": ("card_id", "lot")}),
}


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("back", [False, True], ids=["there", "back"])
def test_no_change_of_a_source_is_told_as_a_dict(tmp_path: Path, kind: str, back: bool) -> None:
    def defined(**changes: Any) -> Any:
        rows = sl.Source("rows", **({"schema": ROWS, "event_time": "at"} | changes))
        features = {"total": rows["amount"].sum("1d")}
        return sl.FeatureView("Spend", entity=card(), source=rows, features=features)

    one, other = (defined(**changes) for changes in CHANGES[kind])
    plan = plan_of(tmp_path, other, one) if back else plan_of(tmp_path, one, other)
    assert not plan.is_empty
    assert "{" not in str(plan).replace("Struct({", "Struct("), str(plan)

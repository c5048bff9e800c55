"""A fingerprint changes exactly when a value may."""

from datetime import date
from typing import Any

import pytest

from skewless.aggregations.windows import lifetime, session, tumbling
from skewless.definitions import (
    Entity,
    Expression,
    FeatureRef,
    FeatureService,
    FeatureView,
    OnDemandView,
    on_demand,
)
from skewless.definitions.tables import CSV, Kafka, Parquet
from skewless.types import Float64
from tests.definitions.forms import KEYS, ROWS, SCHEMA, source

MEAN = {"x": ROWS.x.mean("1h")}


def fingerprint(**changes: Any) -> str:
    given: dict[str, Any] = {"name": "Seen", "entity": KEYS, "source": source(), "features": MEAN}
    return FeatureView(**(given | changes)).fingerprint


@pytest.mark.parametrize(
    "changes",
    [
        {"owner": "ada"},
        {"description": "What was seen."},
        {"tags": {"team": "risk"}},
        {"freshness": "5m"},
        {"deprecated": "use Seen2", "sunset": date(2030, 1, 1)},
        {"source": source(owner="ada", description="Rows.")},
        {"source": source(table=Parquet("a/"))},
        {"source": source(table=CSV("a.csv"), stream=Kafka("t", "localhost:9092"))},
        {"source": source(future="1d")},
        {"entity": Entity("card", card_id=str, description="A card.")},
        {"features": {"x": ROWS.x.mean("60m")}},
        {"source": source(schema=dict(reversed(SCHEMA.items())))},
    ],
    ids=str,
)
def test_what_only_describes_or_stores_leaves_it(changes: dict[str, Any]) -> None:
    assert fingerprint(**changes) == fingerprint()


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Other"},
        {"entity": Entity("card", card_id=str, n=int)},
        {"where": ROWS.flag},
        {"where": ROWS.x > 1},
        {"features": {"y": ROWS.x.mean("1h")}},
        {"source": source(event_time="when")},
        {"source": source(known_time="noticed")},
        {"source": source(known_time=None)},
        {"source": source(known_time=None, delay="5m")},
        {"source": source(row_id="city")},
        {"source": source(row_id=["city", "n"])},
        {"source": source(closed="left")},
        {"source": source(lateness="1h")},
    ],
    ids=str,
)
def test_what_changes_values_changes_it(changes: dict[str, Any]) -> None:
    assert fingerprint(**changes) != fingerprint()


FEATURES: list[Expression] = [
    ROWS.x.mean("1h"),
    ROWS.y.mean("1h"),
    ROWS.x.sum("1h"),
    ROWS.x.mean("2h"),
    ROWS.x.mean("1h", offset="1d"),
    ROWS.x.mean("1h", resolution="5m"),
    ROWS.x.mean("1h", default=0.0),
    ROWS.x.mean("1h", default=1.0),
    ROWS.x.mean(last=10),
    ROWS.x.mean(last=11),
    ROWS.x.mean(last=10, offset="1h"),
    ROWS.x.mean(tumbling("1h")),
    ROWS.x.mean(session("1h")),
    ROWS.x.mean(lifetime()),
    ROWS.where(ROWS.flag).x.mean("1h"),
    ROWS.where(~ROWS.flag).x.mean("1h"),
    (ROWS.x + 1).mean("1h"),
    (ROWS.x + 1.0).mean("1h"),
    (ROWS.x + 2).mean("1h"),
    (ROWS.x - 1).mean("1h"),
    ROWS.x.mean("1h") + 1,
    ROWS.x.mean("1h").cast(int),
    ROWS.x.std("1h"),
    ROWS.x.std("1h", ddof=1),
    ROWS.x.var("1h"),
    ROWS.x.quantile(0.5, "1h"),
    ROWS.x.quantile(0.9, "1h"),
    ROWS.x.median("1h"),
    ROWS.x.top_k(3, "1h"),
    ROWS.x.top_k(4, "1h"),
    ROWS.x.histogram([0, 1], "1h"),
    ROWS.x.histogram([0, 2], "1h"),
    ROWS.x.trend("1h", recent=5),
    ROWS.x.trend("1h", recent=6),
    ROWS.x.ewma("1h", "1d"),
    ROWS.x.ewma("2h", "1d"),
    ROWS.x.latest(),
    ROWS.x.latest(ttl="1d"),
    ROWS.x.latest(ttl="2d"),
    ROWS.x.latest(skip_nulls=True),
    ROWS.x.latest("1h"),
    ROWS.x.first("1h"),
    ROWS.x.first("1h", skip_nulls=True),
    ROWS.x.last_n(3),
    ROWS.x.last_n(4),
    ROWS.x.last_n(3, last=100),
    ROWS.x.last_n(4, last=100),
    ROWS.x.first_n(3, last=100),
    ROWS.x.first_n(4, last=100),
    ROWS.x.count("1h"),
    ROWS.count("1h"),
    ROWS.rate("1h"),
]


def test_all_different_features_have_different_fingerprints() -> None:
    marks: dict[str, list[Expression]] = {}
    for feature in FEATURES:
        marks.setdefault(fingerprint(features={"x": feature}), []).append(feature)
    assert [same for same in marks.values() if len(same) > 1] == []


def test_a_service_is_its_list_of_features() -> None:
    mark = FeatureService("model", ["A:x", "B:y"]).fingerprint
    assert FeatureService("model", ["A:x", "B:y"], owner="ada").fingerprint == mark
    assert FeatureService("model", ["B:y", "A:x"]).fingerprint != mark
    assert FeatureService("model", ["A@v1:x", "B:y"]).fingerprint != mark


def test_the_code_of_an_on_demand_function_is_in_its_fingerprint() -> None:
    mean = FeatureRef("Seen", "x", Float64)

    def made(function: Any) -> OnDemandView:
        view: OnDemandView = on_demand(inputs={"x": mean}, returns={"y": float})(function)
        return view

    def one() -> Any:
        def Twice(x: Any) -> Any:
            return {"y": x * 2}

        return Twice

    def other() -> Any:
        def Twice(x: Any) -> Any:
            return {"y": x * 3}

        return Twice

    assert made(one()).code["hash"] == made(one()).code["hash"]
    assert made(one()).fingerprint == made(one()).fingerprint
    assert made(one()).fingerprint != made(other()).fingerprint

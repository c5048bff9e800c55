"""What a registry keeps of a definition gives the same definition again."""

from datetime import date
from typing import Any

import pytest

from skewless.aggregations import AGGREGATIONS
from skewless.definitions import (
    Entity,
    Expression,
    FeatureService,
    FeatureView,
    OnDemandView,
    Request,
    Source,
)
from skewless.definitions.expressions import expression_from_dict
from skewless.definitions.repo import Definitions
from skewless.definitions.tables import CSV, Delta, Files, Kafka, Parquet, Recorded
from skewless.registry.plain import decode, encode
from skewless.types import DType
from tests.definitions.forms import (
    AGGREGATES,
    EXPRESSIONS,
    KEYS,
    ROWS,
    TEXT_AND_TIME,
    source,
    view,
)
from tests.laws import grid


def stored(data: Any) -> Any:
    """As it comes back from a registry."""
    return decode(encode(data))


def restored(made: FeatureView) -> FeatureView:
    return FeatureView.from_dict(
        stored(made.to_dict()),
        Entity.from_dict(stored(made.entity.to_dict())),
        Source.from_dict(stored(made.source.to_dict())),
    )


def comes_back(before: FeatureView) -> None:
    after = restored(before)
    assert after.to_dict() == before.to_dict()
    assert after.fingerprint == before.fingerprint
    for old, new in zip(before.aggregates, after.aggregates, strict=True):
        assert (new.aggregation, new.window) == (old.aggregation, old.window)
        assert (new.default, new.ttl, new.dtype) == (old.default, old.ttl, old.dtype)
        assert repr(new) == repr(old)


@pytest.mark.parametrize("name", sorted(AGGREGATIONS))
def test_an_aggregation_over_every_window_comes_back(name: str) -> None:
    of = grid.source()
    comes_back(grid.view_of(grid.aggregates(name, of), of))


@pytest.mark.parametrize("name", AGGREGATES)
def test_an_aggregation_as_users_write_it_comes_back(name: str) -> None:
    comes_back(view(x=AGGREGATES[name]))


@pytest.mark.parametrize(
    "feature",
    [
        ROWS.x.latest(ttl="1d"),
        ROWS.x.latest(skip_nulls=True, default=1.0),
        ROWS.where(ROWS.flag).x.latest(offset="1h"),
        ROWS.x.latest("1h", skip_nulls=True),
        (ROWS.x.max("1h") - ROWS.x.min("1h")) / ROWS.x.mean("1h"),
        ROWS.x.mean("1h").fill_null(0.0).cast(int),
        ROWS.where(ROWS.flag).where(ROWS.x > 1).city.mode(last=10),
    ],
    ids=repr,
)
def test_other_features_come_back(feature: Expression) -> None:
    before = view(x=feature)
    assert restored(before).to_dict() == before.to_dict()
    assert restored(before).dtypes == before.dtypes


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression_over_features_comes_back(name: str) -> None:
    before = view(x=EXPRESSIONS[name](ROWS.x.mean("1h"), ROWS.y.mean("1h")))
    assert restored(before).to_dict() == before.to_dict()


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression_over_columns_comes_back(name: str) -> None:
    expression = EXPRESSIONS[name](ROWS.x, ROWS.y)
    again = expression_from_dict(stored(expression.to_dict()), "rows")
    assert (again.to_dict(), again.dtype) == (expression.to_dict(), expression.dtype)
    assert repr(again) == repr(expression)


@pytest.mark.parametrize("name", TEXT_AND_TIME)
def test_an_expression_over_texts_and_times_comes_back(name: str) -> None:
    expression = TEXT_AND_TIME[name]
    again = expression_from_dict(stored(expression.to_dict()), "rows")
    assert (repr(again), again.dtype) == (repr(expression), expression.dtype)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"known_time": None, "delay": "5m"},
        {"row_id": "city"},
        {"row_id": ["city", "n"]},
        {"closed": "left", "lateness": "1h", "future": "1d"},
        {"description": "Rows.", "owner": "ada"},
        {"table": Parquet("a/")},
        {"table": CSV("a.csv", nulls=["NA"], delimiter=";")},
        {"table": Delta("a", version=3)},
        {"stream": Files("a/", format="csv")},
        {"stream": Kafka("topic", "localhost:9092", options={"group.id": "x"})},
    ],
    ids=str,
)
def test_a_source_comes_back(changes: dict[str, Any]) -> None:
    before = source(**changes)
    after = Source.from_dict(stored(before.to_dict()))
    assert after.to_dict() == before.to_dict()
    assert (after.schema, after.columns) == (before.schema, before.columns)
    assert (after.table, after.stream) == (before.table, before.stream)


def test_a_place_read_back_keeps_its_kind_and_options() -> None:
    place = Recorded(CSV("a.csv", delimiter=";").to_dict())
    assert (place.kind, place.options) == ("csv", {"path": "a.csv", "delimiter": ";"})
    assert place == CSV("a.csv", delimiter=";")


@pytest.mark.parametrize(
    "entity",
    [
        KEYS,
        Entity("trip", driver_id=int, trip_id=str, description="A trip."),
        Entity("day", day=date, flag=bool, raw=bytes),
    ],
)
def test_an_entity_comes_back(entity: Entity) -> None:
    assert Entity.from_dict(stored(entity.to_dict())) == entity


def test_labels_come_back() -> None:
    before = FeatureView(
        "Seen",
        entity=KEYS,
        source=source(),
        features={"x": ROWS.x.mean("1h")},
        where=ROWS.flag,
        owner="ada",
        description="What was seen.",
        tags={"team": "risk"},
        freshness="5m",
        deprecated="use Seen2",
        sunset=date(2030, 1, 31),
    )
    assert restored(before).to_dict() == before.to_dict()
    assert restored(before).labels == before.labels


def test_a_service_comes_back() -> None:
    seen = view(x=ROWS.x.mean("1h"))
    before = FeatureService(
        "model", [seen, seen["x"], "Other@v2:y"][1:], owner="ada", tags={"a": 1}
    )
    after = FeatureService.from_dict(stored(before.to_dict()))
    assert after.references == before.references == ("Seen:x", "Other@v2:y")
    assert (after.labels, after.fingerprint) == (before.labels, before.fingerprint)


def double(mean: Any, amount: Any) -> Any:
    return {"twice": mean * 2 + amount}


def test_on_demand_views_come_back() -> None:
    seen = view(x=ROWS.x.mean("1h"))
    amount = Request("amount", float)
    expressions = OnDemandView("Ratio", features={"ratio": amount / seen["x"]}, owner="ada")
    function = OnDemandView(
        "Twice",
        inputs={"mean": seen["x"], "amount": amount},
        returns={"twice": float},
        function=double,
        code={"path": "features:double", "hash": "1234"},
    )
    for before in (expressions, function):
        after = OnDemandView.from_dict(stored(before.to_dict()), before.function)
        assert after.to_dict() == before.to_dict()
        assert after.fingerprint == before.fingerprint
        assert (after.dtypes, after.function) == (before.dtypes, before.function)
        assert [r.reference for r in after.refs] == ["Seen:x"]
        assert [(r.name, r.dtype) for r in after.requests] == [("amount", DType("float64"))]


def test_a_whole_repo_comes_back() -> None:
    seen = view(x=ROWS.x.mean("1h"))
    ratio = OnDemandView("Ratio", features={"ratio": Request("amount", float) / seen["x"]})
    before = Definitions.of(seen, ratio, FeatureService("model", [seen, ratio]))
    assert Definitions.from_dict(stored(before.to_dict())) == before

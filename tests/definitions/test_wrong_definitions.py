"""Every wrong definition is told where it is written, with what was got and what to do."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

import skewless as sl
from skewless.aggregations.windows import lifetime, session, tumbling
from skewless.definitions import (
    Entity,
    FeatureService,
    FeatureView,
    OnDemandView,
    Request,
    Source,
    feature_view,
    on_demand,
)
from skewless.errors import DefinitionError, InputError, UnknownName
from skewless.types import Decimal, List, Vector
from tests.definitions.forms import KEYS, ROWS, source, view

Wrong = Callable[[], Any]

ENTITIES: list[tuple[Wrong, str]] = [
    (lambda: Entity("my card", card_id=str), "not a name for a entity|not a name for an entity"),
    (lambda: Entity("class", card_id=str), "'class'"),
    (lambda: Entity("card", **{"card id": str}), "not a name for a join key"),
    (lambda: Entity("card", card_id=float), r"'card_id' of entity 'card' cannot be a Float64"),
    (lambda: Entity("card", card_id=list[str]), "cannot be a List"),
    (lambda: Entity("card", card_id=complex), r"not a column type.*complex"),
    (lambda: Entity("card", card_id="str"), "not a column type"),
]

SOURCES: list[tuple[Wrong, str]] = [
    (lambda: Source("rows", event_time="at"), "no schema and no table"),
    (lambda: source(schema={"at": str}), "time column 'at' of source 'rows' is no datetime"),
    (lambda: source(delay="5m"), r"both a known time and a delay.*Drop one"),
    (lambda: source(known_time=None, delay="soon"), r"a delay that cannot be read.*'soon'"),
    (lambda: source(closed="both"), r"Got: both.*'left' or 'right'"),
    (lambda: source(lateness="x"), "lateness that cannot be read"),
    (lambda: source(future=""), "a tolerance for the future that cannot be read"),
    (lambda: source(row_id="cty"), r"no column 'cty'.*Did you mean 'city'"),
    (lambda: source(schema={"_x": int}), "a leading underscore is skewless's own"),
    (lambda: source(schema={"x": "float"}), "not a column type"),
    (lambda: ROWS.cty, r"source 'rows' has no column 'cty'.*Did you mean 'city'"),
    (lambda: ROWS["cty"], r"no column 'cty'"),
    (lambda: ROWS.where(ROWS.x), "a filter of source 'rows' is a condition"),
    (lambda: ROWS.where(True), "a filter of source 'rows' is a condition"),  # type: ignore[arg-type]
    (lambda: ROWS.where(other().x > 1), "over columns of another.*other"),
]

TYPES: list[tuple[Wrong, str]] = [
    (lambda: Vector(0), "a vector needs a length"),
    (lambda: Decimal(0, 0), "a decimal type out of range"),
    (lambda: Decimal(10, 11), r"Decimal\(10, 11\)"),
    (lambda: List(object), "not a column type"),
]

EXPRESSIONS: list[tuple[Wrong, str]] = [
    (lambda: ROWS["x"] == "\ud800", "not a value an expression can hold"),
    (lambda: ROWS.x + ROWS.city, r"'add' is not defined here.*Float64, String"),
    (lambda: ROWS.cents * 2, r"'multiply' on a decimal.*cast\(float\)"),
    (lambda: ROWS.x == "a", "'equal' is not defined here"),
    (lambda: ROWS.vector == ROWS.vector, "plain values"),
    (lambda: ROWS.x & ROWS.flag, r"conditions \(true or false\)"),
    (lambda: ROWS.x.lower(), "Expected: text"),
    (lambda: ROWS.x.year(), "a timestamp or a date"),
    (lambda: ROWS.born > datetime(2026, 1, 1), "a time without a time zone"),
    (lambda: ROWS.x > None, "not a value an expression can hold"),
    (lambda: ROWS.x.is_in([]), "at least one value"),
    (lambda: ROWS.flag.cast(datetime), "no cast from Bool to Timestamp"),
    (lambda: ROWS.x > 1 and ROWS.x < 2, r"no truth of its own.*&, \|"),
    (lambda: 0 < ROWS.x < 1, "no truth of its own"),
    (lambda: ROWS.x + ROWS.x.mean("1h"), "columns and features cannot meet"),
    (lambda: ROWS.x.mean("1h", "2h") + 1, r"several windows cannot be one operand.*1h, 2h"),
    (lambda: (ROWS.x + other().x).mean("1h"), r"the columns of one source.*other, rows"),
    (lambda: (ROWS.where(ROWS.flag).x + ROWS.x).mean("1h"), "an aggregation has one filter"),
]

AGGREGATIONS: list[tuple[Wrong, str]] = [
    (lambda: ROWS.x.mean(), r"mean of rows.x needs a window.*last=100"),
    (lambda: ROWS.count(), "count of rows needs a window"),
    (lambda: ROWS.x.mean("1 hour"), "a window that cannot be read"),
    (lambda: ROWS.x.mean("0s"), "a window of no length"),
    (lambda: ROWS.x.mean("1h", resolution="2h"), "a resolution longer than its window"),
    (lambda: ROWS.x.mean(lifetime(), resolution="1m"), "only sliding windows take a resolution"),
    (lambda: ROWS.x.mean(last=0), r"n = 0.*1 to 1,000,000"),
    (lambda: ROWS.x.mean(last=True), "n = True"),
    (lambda: ROWS.x.mean(tumbling("0s")), "a tumbling window of no length"),
    (lambda: ROWS.x.mean(session("no")), "a session gap that cannot be read"),
    (lambda: ROWS.x.mean("1h", offset="x"), "an offset that cannot be read"),
    (lambda: ROWS.city.mean("1h"), r"mean needs a numeric column.*type String"),
    (lambda: ROWS.vector.max("1h"), "values have an order"),
    (lambda: ROWS.many.n_unique("1h"), "a column of plain values"),
    (lambda: ROWS.x.mean("1h", default="none"), "a default of another type"),
    (lambda: ROWS.x.std("1h", ddof=2), "ddof 0 or 1"),
    (lambda: ROWS.x.quantile(1.5, "1h"), "between 0 and 1"),
    (lambda: ROWS.x.top_k(0, "1h"), "k of at least 1"),
    (lambda: ROWS.x.histogram([2, 1], "1h"), "ascending edges"),
    (lambda: ROWS.x.last_n(0), "at least 1"),
    (lambda: ROWS.x.trend(last=10, recent=10), "last greater than recent"),
    (lambda: ROWS.x.trend("1h", recent=0), "recent of at least 1"),
    (lambda: ROWS.x.trend(lifetime()), "every row"),
    (lambda: ROWS.x.ewma("0s", "1h"), "a half-life"),
    (lambda: ROWS.x.ewma("1h", lifetime()), r"every row.*ten half-lives"),
    (lambda: ROWS.x.changes(last=1), "compares rows.*two or more"),
    (lambda: ROWS.x.diff(last=1), "compares rows.*two or more"),
    (lambda: ROWS.cents.diff(), r"whole numbers or floats.*cast\(float\)"),
    (lambda: ROWS.x.streak(last=5), "needs a condition"),
    (lambda: ROWS.flag.streak(), "needs a window"),
    (lambda: ROWS.burst("2h", "1h"), "a burst longer than its window"),
    (lambda: ROWS.burst("0s", "1h"), "a burst of no length"),
    (lambda: ROWS.many.distinct("1h"), "a column of plain values"),
    (lambda: ROWS.x.time_in(1, "1h"), "a column of states"),
    (lambda: ROWS.city.time_in(3, "1h"), "a state that a column of its type can have.*3"),
    (lambda: ROWS.city.time_in(None, "1h"), "a state that a column of its type can have.*null"),
    (lambda: ROWS.city.time_in("a", tumbling("1h")), "what stood when its window begins"),
    (lambda: ROWS.city.time_in("a", "1d", resolution="1h"), "only sliding windows"),
    (lambda: ROWS.city.time_in("a"), "needs a window"),
    (lambda: ROWS.x.mean("1h", weight="size"), "no such weight.*'time'"),
    (lambda: ROWS.x.corr("1h"), r"corr needs another column.*corr\(tests.idd"),
    (lambda: ROWS.x.corr(ROWS.city, "1h"), "numbers"),
    (lambda: ROWS.x.cov(ROWS.cents, "1h"), r"decimal.*cast\(float\)"),
    (lambda: ROWS.x.beta(ROWS.y, last=1), "compares rows"),
    (lambda: ROWS.x.cov(ROWS.y, "1h", ddof=3), "ddof 0 or 1"),
    (lambda: ROWS.x.corr(other().x, "1h"), "columns of one source"),
    (lambda: ROWS.x.corr(ROWS.where(ROWS.flag).y, "1h"), "one filter"),
    (lambda: ROWS.x.zscore(), "mean of rows.x needs a window"),
    (lambda: ROWS.x.zscore("1h", by="city"), "zscore takes no by"),
    (lambda: ROWS.x.zscore("1h", default=0.0), "zscore takes no default.*fill_null"),
    (lambda: ROWS.vector.std("1h"), "std needs a numeric column"),
    (lambda: ROWS.x.rate(last=10), "a length in time"),
    (lambda: ROWS.x.trend("1h", resolution="1m"), "takes no resolution"),
    (lambda: ROWS.x.latest(ttl="x"), "a ttl that cannot be read"),
    (lambda: ROWS.x.latest(tll="1h"), r"no option 'tll'.*Did you mean 'ttl'"),
    (lambda: ROWS.x.latest(resolution="1h"), "resolution"),
]


def other() -> Source:
    return Source("other", schema={"card_id": str, "x": float}, event_time="at")


def class_with(attribute: Any) -> Any:
    return type("Seen", (), {"x": attribute})


def made_of(attribute: Any) -> Any:
    return feature_view(entity=KEYS, source=source())(class_with(attribute))


def class_of(name: str) -> Any:
    attributes = {name: ROWS.x.mean("1h")}
    return feature_view(entity=KEYS, source=source())(type("Seen", (), attributes))


def function(x: Any) -> Any:
    return x


VIEWS: list[tuple[Wrong, str]] = [
    (lambda: made_of(3), r"'x' in feature view 'Seen' is no feature.*mean"),
    (lambda: made_of(ROWS.x), r"Seen:x is a column.*Did you mean rows.x.latest\(\)"),
    (lambda: made_of(ROWS.x + 1), "is a column, not an aggregation"),
    (lambda: made_of(other().x.mean("1h")), r"Seen:x is over another source.*'other'.*'rows'"),
    (lambda: made_of(Request("amount", float) + 1), r"outside its source.*@sl.on_demand"),
    (lambda: made_of(view(y=ROWS.x.mean("1h"))["y"] + 1), "outside its source"),
    (lambda: feature_view(entity=KEYS, source=source())(type("Seen", (), {})), "has no features"),
    (
        lambda: view(**{"x": ROWS.x.mean("1h", "2h"), "x_1h": ROWS.x.sum("1h")}),
        "two features named",
    ),
    (lambda: view(**{"a b": ROWS.x.mean("1h")}), "not a name for a feature"),
    (lambda: view_with(entity=Entity("c", nokey=str)), r"no column 'nokey'"),
    (lambda: view_with(entity=Entity("c", city=int)), r"join key 'city'.*String.*Int64"),
    (lambda: view_with(entity="card"), "needs an entity and a source"),
    (lambda: view_with(where=ROWS.x), "is a condition"),
    (lambda: view_with(ownr="ada"), r"no option 'ownr'.*Did you mean 'owner'"),
    (lambda: view_with(freshness="x"), "a freshness that cannot be read"),
    (lambda: view_with(sunset="soon"), r"the sunset of 'Seen' is no date.*soon"),
    (lambda: class_of("words"), r"attribute of every view.*'words'.*Seen\['words'\]"),
    (lambda: class_of("at"), "would hide the feature"),
    (lambda: class_of("bound"), "would hide the feature"),
    (lambda: view(x=ROWS.x.mean("1h")).y, r"view 'Seen' has no feature 'y'"),
]


def view_with(**changes: Any) -> FeatureView:
    given = {"entity": KEYS, "source": source(), "features": {"x": ROWS.x.mean("1h")}}
    return FeatureView("Seen", **(given | changes))


ON_DEMAND: list[tuple[Wrong, str]] = [
    (lambda: on_demand(class_with(ROWS.x.mean("1h"))), "takes features and request fields"),
    (lambda: on_demand(class_with(3)), "'x' in on-demand view 'Seen' is no feature"),
    (
        lambda: on_demand(type("Seen", (), {"inputs": Request("amount", float) + 1})),
        "would hide the feature",
    ),
    (lambda: on_demand(inputs={})(function), "needs inputs and returns"),
    (lambda: OnDemandView("Seen", inputs={}, returns={}), "has no features"),
    (lambda: on_demand(class_with(two_types())), r"request field 'amount' has two types"),
]


def two_types() -> Any:
    return Request("amount", float) + Request("amount", int)


SERVICES: list[tuple[Wrong, str]] = [
    (lambda: FeatureService("model", []), "has no features"),
    (lambda: FeatureService("model", ["Seen"]), r"not a reference to a feature.*'Seen'"),
    (lambda: FeatureService("model", ["Seen@2:x"]), r"View@v2:feature"),
    (lambda: FeatureService("model", ["Seen@v2"]), "not a reference"),
    (lambda: FeatureService("model", [":x"]), "not a reference"),
    (lambda: FeatureService("model", ["A:x", "A:x"]), "lists 'A:x' twice"),
    (lambda: FeatureService("model", [3]), "not a feature"),  # type: ignore[list-item]
    (lambda: FeatureService("my model", ["A:x"]), "not a name for a feature service"),
    (lambda: FeatureService("model", ["A:x"], ownr="ada"), r"Did you mean 'owner'"),
]


@pytest.mark.parametrize(
    ("wrong", "message"),
    ENTITIES + SOURCES + TYPES + EXPRESSIONS + AGGREGATIONS + VIEWS + ON_DEMAND + SERVICES,
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_a_wrong_definition_is_told(wrong: Wrong, message: str) -> None:
    with pytest.raises((DefinitionError, UnknownName, InputError), match=message) as caught:
        wrong()
    assert len(str(caught.value)) < 400


def test_what_is_not_there_is_no_attribute_either() -> None:
    source = sl.Source("pays", schema={"card": str, "amount": float}, event_time="at")
    view = sl.FeatureView(
        "Spend", entity=sl.Entity("card", card=str), source=source,
        features={"total": source.amount.sum("1h")},
    )  # fmt: skip
    assert hasattr(source, "amount")
    assert not hasattr(source, "amuont")
    assert getattr(view, "totla", None) is None
    with pytest.raises(sl.UnknownName, match="Did you mean 'total'") as wrong:
        view.totla  # noqa: B018
    assert isinstance(wrong.value, AttributeError)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (lambda s: s.v.avg("1h"), "Did you mean 'mean'?"),
        (lambda s: s.v.average("1h"), "Did you mean 'mean'?"),
        (lambda s: s.v.nunique("1h"), "Did you mean 'n_unique'?"),
        (lambda s: s.v.mean("1 hour"), "Did you mean '1h'?"),
        (lambda s: s.v.mean("90 Minutes"), "Did you mean '90m'?"),
        (lambda s: s.v.mean("1 hr 30 min"), "Did you mean '1h30m'?"),
        (lambda s: sl.Source("q", schema={"v": "float"}, event_time="at"), "Did you mean float?"),
        (
            lambda s: sl.Source("q", schema={"v": np.float64}, event_time="at"),
            "Did you mean float?",
        ),
        (
            lambda s: sl.Source("q", schema={"v": np.dtype("i4")}, event_time="at"),
            "Did you mean sl.Int32?",
        ),
        (lambda s: sl.Source("q", schema={"v": "object"}, event_time="at"), "Did you mean str?"),
    ],
)
def test_near_words_are_answered_with_ours(written: Any, meant: str) -> None:
    source = sl.Source("s", schema={"k": str, "v": float}, event_time="at")
    with pytest.raises(sl.SkewlessError) as refused:
        written(source)
    assert meant in str(refused.value)


def test_timedeltas_are_durations_everywhere() -> None:
    hour = timedelta(hours=1)
    source = sl.Source(
        "s", schema={"k": str, "v": float}, event_time="at", delay=hour, lateness=hour
    )
    windows = (hour, sl.tumbling(hour), sl.session(hour))
    features = {
        "mean": source.v.mean(*windows),
        "newest": source.v.latest(ttl=hour),
        "before": source.v.mean(hour, offset=hour, resolution=timedelta(minutes=5)),
    }
    view = sl.FeatureView(
        "V", entity=sl.Entity("e", k=str), source=source, features=features, freshness=hour
    )
    assert view.features[:3] == ("mean_1h", "mean_tumbling_1h", "mean_session_1h")
    assert view.labels["freshness"] == 3_600_000_000

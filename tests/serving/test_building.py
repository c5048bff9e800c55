"""Over every door: a view whose states are not complete is building, and nothing else."""

from typing import Any

import pyarrow as pa
import pytest

import skewless as sl
from skewless.serving.app import App
from skewless.serving.settings import Settings
from tests.serving.calling import call

ARROW = "application/vnd.apache.arrow.stream"
ASKED = {"features": ["Late:most", "Spend:count"], "entities": {"card_id": ["c1", "c9"]}}


@pytest.fixture
def late(store: sl.FeatureStore) -> sl.FeatureView:
    """A view over rows that are there already, which nobody has built."""
    state = store.runtime.state()
    source = state.sources["payments"]
    view = sl.FeatureView(
        "Late",
        entity=state.entities["card"],
        source=source,
        features={"most": source.amount.max(sl.lifetime())},
    )
    store.apply(store.plan(view, removing=False), build=False)
    return view


def served(store: sl.FeatureStore, **settings: Any) -> App:
    made = App(store, Settings(**settings))
    made.start()
    return made


@pytest.mark.usefixtures("late")
def test_json_says_building_and_null(store: sl.FeatureStore) -> None:
    answer = call(served(store), "POST", "/v1/features", ASKED).data
    assert answer["values"]["most"] == [None, None]
    assert answer["statuses"] == {"most": ["building"] * 2, "count": ["present", "unknown"]}


@pytest.mark.usefixtures("late")
def test_arrow_says_building_and_null(store: sl.FeatureStore) -> None:
    answer = call(served(store), "POST", "/v1/features", ASKED, headers={"accept": ARROW})
    table = pa.ipc.open_stream(answer.body).read_all()
    assert table["most"].to_pylist() == [None, None]
    assert table["most__status"].to_pylist() == ["building", "building"]


@pytest.mark.usefixtures("late")
def test_feast_finds_nothing_and_is_told_why(store: sl.FeatureStore) -> None:
    answer = call(served(store), "POST", "/get-online-features", ASKED)
    _, most, count = answer.data["results"]
    assert (most["values"], most["statuses"]) == ([None, None], ["NOT_FOUND", "NOT_FOUND"])
    assert count["statuses"] == ["PRESENT", "NOT_FOUND"]
    assert answer.headers["x-skewless-building"] == "2"


@pytest.mark.usefixtures("late")
def test_feast_may_be_refused_instead(store: sl.FeatureStore) -> None:
    app = served(store, feast_building="unavailable")
    assert call(app, "POST", "/get-online-features", ASKED).status == 503
    whole = ASKED | {"features": ["Spend:count"]}
    assert call(app, "POST", "/get-online-features", whole).status == 200


@pytest.mark.usefixtures("late")
def test_readiness_and_metrics_name_the_views_until_they_are_built(store: sl.FeatureStore) -> None:
    app = served(store)
    call(app, "POST", "/v1/features", ASKED)
    ready = call(app, "GET", "/ready").data
    assert (ready["ready"], ready["building"]) == (True, ["Late@v1"])
    shown = call(app, "GET", "/metrics").body.decode()
    assert 'skewless_view_building{view="Late@v1"} 1' in shown
    assert 'skewless_values_total{status="building"} 2' in shown
    store.materialize()
    app.upkeep.work()
    assert call(app, "GET", "/ready").data["building"] == []
    assert "skewless_view_building{" not in call(app, "GET", "/metrics").body.decode()
    assert call(app, "POST", "/v1/features", ASKED).data["statuses"]["most"][0] == "present"

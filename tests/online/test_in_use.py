"""A view that has states or was read lately is in use, although no service names it."""

import pytest

import skewless as sl
from skewless.errors import BreakingChange
from skewless.online.in_use import LATELY
from skewless.serving.app import App
from skewless.serving.settings import Settings
from tests.serving.calling import call
from tests.shop import DAY, NOON, open_store, pay, payments, spend_of, write_part

PAYS = payments()
OTHER = spend_of(PAYS, "Other", count=PAYS.count("1d"))


def removal_of(fs) -> list[str]:
    """What a plan of a repo that has only `Other` breaks."""
    return [found.explain() for found in fs.plan(OTHER, removing=True).breaking]


def test_a_view_that_has_states_is_not_removed_without_saying_so(tmp_path) -> None:
    fs = open_store(tmp_path, spend_of(PAYS), OTHER)
    assert removal_of(fs) == []
    fs.push("pays", [pay("p1", NOON), pay("p2", NOON)], backdate=True)
    assert removal_of(fs) == [
        "feature view Spend is removed, and it has states of 2 rows of source 'pays'."
    ]
    plan = fs.plan(OTHER, removing=True)
    with pytest.raises(BreakingChange, match="has states of 2 rows"):
        fs.apply(plan)
    fs.apply(plan, allow_breaking=True)
    assert "Spend" not in fs.runtime.state(fresh=True).current


def test_a_view_that_was_materialized_has_states(tmp_path) -> None:
    write_part(tmp_path / "pays" / "1.parquet", [pay("p1", NOON)])
    source = payments(table=sl.Parquet(str(tmp_path / "pays")), delay="0s")
    fs = open_store(tmp_path / "repo", spend_of(source))
    fs.materialize()
    empty = fs.plan(spend_of(payments(), "Other"), removing=True)
    assert any("it was materialized" in found.explain() for found in empty.breaking)


def test_a_view_that_a_server_has_read_lately_is_in_use(tmp_path) -> None:
    fs = open_store(tmp_path, spend_of(PAYS), OTHER)
    app = App(fs, Settings(workers=1, anonymous=True))
    app.start()
    asked = {"features": ["Spend:count_1d"], "entities": [{"card_id": "c1"}]}
    assert call(app, "POST", "/v1/features", asked).status == 200
    app.upkeep.work()
    assert removal_of(fs) == ["feature view Spend is removed, and it was read on 2026-01-02."]
    fs.runtime.clock.time = NOON + LATELY + DAY
    assert removal_of(fs) == []

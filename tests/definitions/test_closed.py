"""A view may close its windows on another side than its source says."""

import pytest

import skewless as sl
from skewless.definitions import Entity, FeatureView, Source
from skewless.definitions.repo import Definitions
from skewless.errors import DefinitionError
from skewless.testing.clock import SettableClock

CARD = Entity("card", card=str)
PAYS = Source("pays", schema={"card": str, "amount": float}, event_time="at")


def view(name="Spend", source=PAYS, **options):
    features = {"total": source.amount.sum("1h")}
    return FeatureView(name, entity=CARD, source=source, features=features, **options)


def test_a_view_is_closed_as_its_source_says_unless_it_says_otherwise():
    assert view().source.closed == "right"
    assert view(closed="left").source.closed == "left"
    assert PAYS.closed == "right"


def test_it_is_part_of_the_fingerprint_and_saying_the_same_is_saying_nothing():
    left = Source("pays", schema={"card": str, "amount": float}, event_time="at", closed="left")
    assert view(closed="left").fingerprint != view().fingerprint
    assert view(closed="right").fingerprint == view().fingerprint
    assert view(closed="left").fingerprint == view(source=left).fingerprint


def test_it_reads_back():
    given = view(closed="left")
    again = FeatureView.from_dict(given.to_dict(), CARD, PAYS)
    assert again.source.closed == "left"
    assert again.fingerprint == given.fingerprint
    assert again.to_dict() == given.to_dict()
    assert "closed" not in view().to_dict()


def test_the_source_is_registered_as_it_was_defined():
    found = Definitions.of(view(closed="left"), view("Other"))
    assert found.sources == {"pays": PAYS}
    assert found.sources["pays"] is PAYS


def test_a_side_there_is_none_is_told():
    with pytest.raises(DefinitionError, match=r"closed.*'left' or 'right'.*middle|middle"):
        view(closed="middle")


def test_views_closed_on_either_side_are_served_and_trained_side_by_side(tmp_path):
    clock = SettableClock(7_200_000_000)
    noon = clock.time
    with sl.FeatureStore(tmp_path, clock=clock) as fs:
        fs.apply(fs.plan(view("Right"), view("Left", closed="left")))
        fs.push("pays", [{"card": "c1", "amount": 5.0, "at": sl.clock.from_micros(noon)}])
        names = ["Right:total", "Left:total"]
        for t, expected in ((noon, [5.0, 0.0]), (noon + 1, [5.0, 5.0])):
            clock.time = t
            found = fs.get_online_features(names, [{"card": "c1"}], full_names=True)
            assert found.values == [expected]
            spine = [{"card": "c1", "t": sl.clock.from_micros(t)}]
            trained = fs.get_historical_features(spine, names, timestamp="t", full_names=True)
            assert list(trained.to_dict().values())[2:] == [[value] for value in expected]
        assert fs.verify(seed=1).ok
        fs.backfill()
        assert fs.verify(seed=1).ok

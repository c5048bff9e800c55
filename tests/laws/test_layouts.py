"""A layout of states is what its views say: not how they were written, ordered, kept or read back."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.aggregations import AGGREGATIONS
from skewless.definitions import Entity, FeatureView, Source
from skewless.state.layout import StateLayout
from tests.laws.grid import KEY, aggregates, source, view_of

NAMES = sorted(AGGREGATIONS)


def layout_of(*views):
    return StateLayout.of(views[0].entity, views[0].source, views)


def same(one, other):
    assert one.to_dict() == other.to_dict()
    assert one.fingerprint == other.fingerprint
    assert one.table == other.table
    assert (one.slots, one.rules) == (other.slots, other.rules)
    assert one.covers(other)
    assert other.covers(one)


@pytest.mark.parametrize("name", NAMES)
def test_a_layout_comes_back_from_what_is_kept_of_it(name):
    layout = layout_of(view_of(aggregates(name), source()))
    same(StateLayout.from_dict(json.loads(json.dumps(layout.to_dict()))), layout)


@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_the_order_of_views_and_features_changes_nothing(names, chance):
    of = source()
    found = [chance.choice(aggregates(name, of)) for name in names for _ in range(3)]
    shuffled = random.Random(chance.random()).sample(found, len(found))
    one = layout_of(view_of(found, of))
    same(layout_of(view_of(shuffled, of)), one)
    same(layout_of(*(view_of([each], of) for each in shuffled)), one)
    same(StateLayout.from_dict(one.to_dict()), one)


def test_windows_spelled_differently_are_one():
    pays = Source("pays", schema={"card": str, "x": float}, event_time="at")
    card = Entity("card", card=str)

    def view(day, half, **more):
        x = pays.x
        features = {
            "a": x.sum(day), "b": x.sum(half), "c": x.max("36h"), "d": x.count(day, offset=day),
            "e": x.mean("7d", resolution=half), "f": x.sum("90m"),
        }  # fmt: skip
        return FeatureView("V", entity=card, source=pays, features=features | more)

    days, hours = view("1d", "12h"), view("24h", "720m")
    same(layout_of(days), layout_of(hours))
    assert days.fingerprint == hours.fingerprint
    assert list(map(repr, days.aggregates)) == list(map(repr, hours.aggregates))
    assert len(layout_of(days, hours).rules) == len(layout_of(days).rules)


def test_a_layout_is_of_its_entity_and_source():
    layout = layout_of(view_of(aggregates("sum"), source()))
    other = layout_of(
        FeatureView(
            "View", entity=Entity("other", key=str), source=source(),
            features={"f": aggregates("sum")[0]},
        )
    )  # fmt: skip
    assert layout.entity.name == KEY.name
    assert not layout.covers(other)
    assert layout.table != other.table

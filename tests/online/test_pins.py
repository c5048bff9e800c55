"""Pins and names without a version move when the states behind them are complete, not before."""

import pytest

import skewless as sl
from skewless.materialize import materialize as materialize_module
from skewless.online.apply import reconcile, retire
from tests.shop import CARD, HOUR, MINUTE, NOON, cards, open_store, pay, payments


def definitions(window="1h", **more):
    """A view whose feature changes with its window, and services that name it in every way."""
    pays = payments()

    @sl.feature_view(entity=CARD, source=pays)
    class Spend:
        total = pays.amount.sum(window)

    if more:
        features = {"total": pays.amount.sum(window)} | {k: f(pays) for k, f in more.items()}
        Spend = sl.FeatureView("Spend", entity=CARD, source=pays, features=features)
    services = [sl.FeatureService("whole", [Spend]), sl.FeatureService("named", ["Spend:total"])]
    return [CARD, pays, Spend, *services]


@pytest.fixture
def fs(tmp_path):
    """A store with two rows of one card: 1.0 within an hour, 100.0 before."""
    fs = open_store(tmp_path / "repo", *definitions())
    rows = [pay("a", NOON - 3 * HOUR, 100.0), pay("b", NOON - MINUTE, 1.0)]
    fs.push("pays", rows, backdate=True)
    return fs


def read(fs, features):
    found = fs.get_online_features(features, cards("c1"))
    return list(zip(found.values[0], map(str, found.statuses[0]), strict=True))


def names(fs, features):
    return fs.get_online_features(features, cards("c1")).names


V1, V2 = [(1.0, "present")], [(101.0, "present")]


def test_a_service_moves_when_the_version_it_is_repinned_to_is_complete(fs):
    fs.apply(fs.plan(*definitions("1d"), repin=True), build=False)
    assert read(fs, "whole") == read(fs, "named") == V1
    assert fs.runtime.state().pins["named"] == ("Spend@v1:total",)
    assert fs.runtime.state().wanted_pins["named"] == ("Spend@v2:total",)
    assert read(fs, ["Spend@v2:total"]) == [(None, "building")]
    fs.push("pays", [pay("c", NOON - MINUTE, 1.0)])
    assert read(fs, "named") == [(2.0, "present")]
    fs.materialize()
    assert read(fs, "whole") == read(fs, "named") == [(102.0, "present")]
    assert fs.runtime.state().pins["named"] == ("Spend@v2:total",)


def test_a_repinned_service_is_built_and_moves_within_the_apply(fs):
    fs.apply(fs.plan(*definitions("1d"), repin=True))
    assert read(fs, "named") == V2


def test_another_process_sees_that_pins_have_moved(fs):
    fs.apply(fs.plan(*definitions("1d"), repin=True), build=False)
    with sl.FeatureStore(fs.config, clock=fs.runtime.clock) as other:
        assert read(other, "named") == V1
        fs.materialize()
        fs.runtime.clock.time += 1_000_001
        assert read(other, "named") == V2


def test_a_crash_between_completion_and_the_move_leaves_the_move_to_the_next_who_looks(
    fs, monkeypatch
):
    fs.apply(fs.plan(*definitions("1d"), repin=True), build=False)
    with monkeypatch.context() as patched:
        patched.setattr("skewless.materialize.verbs.tidy_up", lambda _: None)
        fs.materialize()
    assert read(fs, "named") == V1
    reconcile(fs.runtime)
    assert read(fs, "named") == V2
    reconcile(fs.runtime)
    assert read(fs, "named") == V2


def test_a_service_that_waits_to_move_is_planned_as_applied(fs):
    wanted = definitions("1d")
    fs.apply(fs.plan(*wanted, repin=True), build=False)
    again = fs.plan(*wanted)
    assert again.is_empty
    assert not any("stays" in note for note in again.notes)
    back = fs.plan(*definitions("1h"), repin=True)
    fs.apply(back, build=False)
    assert fs.runtime.state().wanted_pins["named"] == ("Spend@v1:total",)
    assert read(fs, "named") == V1
    fs.materialize()
    assert read(fs, "named") == V1


def test_neither_version_of_a_service_that_waits_can_be_retired(fs):
    fs.apply(fs.plan(*definitions("1d"), repin=True), build=False)
    with pytest.raises(sl.errors.RegistryError, match="in use"):
        retire(fs.runtime, "Spend", 1)
    fs.materialize()
    retire(fs.runtime, "Spend", 1)
    assert read(fs, "named") == V2


def test_a_name_without_a_version_serves_the_newest_complete_one(fs):
    fs.apply(fs.plan(*definitions("1d", most=lambda p: p.amount.max("1d"))), build=False)
    found = fs.get_online_features("Spend", cards("c1"))
    assert found.to_dict() == {"card_id": ["c1"], "total": [1.0], "most": [None]}
    assert found.to_statuses() == {"total": ["present"], "most": ["building"]}
    assert [output.version for output in found.outputs] == [1, 2]
    fs.materialize()
    found = fs.get_online_features("Spend", cards("c1"))
    assert found.to_dict() == {"card_id": ["c1"], "total": [101.0], "most": [100.0]}
    assert [output.version for output in found.outputs] == [2, 2]


def test_a_feature_added_and_one_changed_leave_a_service_of_the_whole_view_as_it_is(fs):
    fs.apply(fs.plan(*definitions("1d", most=lambda p: p.amount.max("1d"))))
    assert (names(fs, "whole"), read(fs, "whole")) == (("total",), V1)
    fs.apply(fs.plan(*definitions("1d", most=lambda p: p.amount.max("1d")), repin=["whole"]))
    assert names(fs, "whole") == ("total", "most")
    assert read(fs, "whole") == [*V2, (100.0, "present")]
    assert read(fs, "named") == V1


def test_an_on_demand_view_is_complete_when_all_is_that_it_is_computed_from(fs):
    def doubled(spend):
        return sl.on_demand(type("Doubled", (), {"twice": spend.total * 2}))

    first = definitions()
    fs.apply(fs.plan(*first, doubled(first[2])))
    assert read(fs, "Doubled") == [(2.0, "present")]
    second = definitions("1d")
    fs.apply(fs.plan(*second, doubled(second[2])), build=False)
    assert read(fs, "Doubled") == [(2.0, "present")]
    assert read(fs, ["Doubled@v2:twice"]) == [(None, "building")]
    fs.materialize()
    assert read(fs, "Doubled") == [(202.0, "present")]


def test_a_build_that_was_killed_goes_on_behind_pushes_and_counts_them_once(fs, monkeypatch):
    monkeypatch.setattr(materialize_module, "_BATCH", 1)
    rows = [pay(f"r{n}", NOON - MINUTE, 10.0, card=f"c{n}") for n in range(2, 6)]
    fs.push("pays", rows, backdate=True)
    fs.apply(fs.plan(*definitions("1d")), build=False)

    class Stop(Exception):
        pass

    def stop(text, share):
        if text.startswith("writing") and share > 0.6:
            raise Stop

    with pytest.raises(Stop):
        fs.materialize(progress=stop)
    assert read(fs, ["Spend@v2:total"]) == [(None, "building")]
    fs.push("pays", [pay(f"s{n}", NOON - MINUTE, 1.0, card=f"c{n}") for n in range(1, 6)])
    (result,) = fs.materialize()
    assert result.resumed > 0
    assert result.entities + result.resumed == 5
    found = fs.get_online_features(["Spend@v2:total"], cards(*(f"c{n}" for n in range(1, 6))))
    assert found.to_dict()["total"] == [102.0, 11.0, 11.0, 11.0, 11.0]

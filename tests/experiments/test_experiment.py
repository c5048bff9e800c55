"""Experiments from the first exposure to the outcome, in process, by the command and over HTTP."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import skewless as sl
from skewless.clock import SettableClock, to_micros
from skewless.errors import DefinitionError, InputError, UnknownName
from skewless.experiments.assignment import assigned
from skewless.serving.app import App
from skewless.serving.settings import Settings
from tests.cli.running import data_of, ran, run_in
from tests.serving.calling import call

NOW = datetime(2026, 1, 1, 10, tzinfo=UTC)
CARDS = [{"card_id": f"c{n:03}"} for n in range(200)]
card = sl.Entity("card", card_id=str)
pays = sl.Source("pays", schema={"card_id": str, "amount": float}, event_time="at")
spend = sl.FeatureView(
    "Spend",
    entity=card,
    source=pays,
    features={"total": pays.amount.sum("30d"), "count": pays.count("30d")},
)
old = sl.FeatureService("old", [spend.total])
new = sl.FeatureService("new", [spend.total, spend.count])


@pytest.fixture
def clock():
    return SettableClock(to_micros(NOW))


@pytest.fixture
def fs(tmp_path, clock):
    with sl.FeatureStore(tmp_path, clock=clock) as opened:
        opened.apply([spend, old, new])
        yield opened


def begun(fs, **options):
    return fs.experiment("trial", control=old, treatment="new", by=card, **options)


def variant(keys):
    return assigned("trial", keys, 0.5)


def test_each_key_has_the_vector_of_its_variant(fs):
    fs.push("pays", [{"card_id": "c001", "amount": 5.0, "at": NOW - timedelta(days=1)}],
            backdate=True)  # fmt: skip
    rows = begun(fs).read(CARDS)
    assert {row["trial"] for row in rows} == {"control", "treatment"}
    for keys, row in zip(CARDS, rows, strict=True):
        assert row["trial"] == variant(keys) == fs.experiment("trial").assign(keys)
        service = old if row["trial"] == "control" else new
        expected = fs.get_online_features(service, keys).to_rows()[0]
        assert row == {"trial": row["trial"], **expected}


def test_outcomes_come_later_and_are_those_of_then(fs, clock):
    trial = begun(fs, outcome="Spend:total", after="7d")
    trial.read(CARDS)
    first = trial.compare()
    assert (first.waiting, first.compared.counts) == (200, (0, 0))
    paid = [
        {**keys, "amount": 10.0 if variant(keys) == "control" else 13.0 + n % 3, "at": at}
        for n, keys in enumerate(CARDS)
        for at in (NOW + timedelta(days=3),)
    ]
    late = [{**CARDS[0], "amount": 1e6, "at": NOW + timedelta(days=8)}]
    clock.time = to_micros(NOW + timedelta(days=9))
    fs.push("pays", paid + late, backdate=True)
    report = trial.compare()
    assert report.waiting == report.missing == 0
    assert sum(report.compared.counts) == 200
    assert report.compared.means[0] == 10.0  # what came on the eighth day is not in it
    assert report.compared.means[1] == pytest.approx(14, abs=0.3)
    assert report.compared.looks == 2
    assert "however often this was looked at" in str(report)
    assert report.mismatch > 0.001


def test_a_key_counts_from_its_first_exposure_in_any_process(fs, clock):
    begun(fs).read(CARDS[:1])
    clock.time += 86_400_000_000
    again = fs.experiment("trial")  # as another process would find it
    again.read(CARDS[:2])
    exposed = {each.keys["card_id"]: each.at for each in again.exposures()}
    assert exposed == {"c000": to_micros(NOW), "c001": clock.time}


def test_a_stopped_experiment_gives_everybody_the_control_and_exposes_nobody(fs):
    trial = begun(fs)
    trial.read(CARDS[:10])
    trial.stop()
    for found in (trial, fs.experiment("trial")):
        assert {row["trial"] for row in found.read(CARDS)} == {"control"}
        assert len(found.exposures()) == 10


def test_what_an_experiment_is_does_not_change_under_its_name(fs):
    assert begun(fs).design == begun(fs).design
    with pytest.raises(DefinitionError, match="that differs"):
        begun(fs, share=0.1)


@pytest.mark.parametrize(
    ("options", "problem", "text"),
    [
        ({"control": "none"}, UnknownName, "none"),
        ({"treatment": old}, DefinitionError, "the same"),
        ({"by": sl.Entity("shop", shop_id=str)}, DefinitionError, "shop_id"),
        ({"share": 1.0}, DefinitionError, "share"),
        ({"name": "../x"}, DefinitionError, "name of an experiment"),
        ({"name": "total"}, DefinitionError, "is a feature of"),
        ({"control": None}, InputError, "a control, a treatment and keys"),
    ],
)
def test_an_experiment_that_cannot_be_is_refused(fs, options, problem, text):
    given = {"name": "trial", "control": old, "treatment": new, "by": card} | options
    with pytest.raises(problem, match=text):
        fs.experiment(given.pop("name"), **given)


def test_an_experiment_that_was_not_begun_is_unknown(fs):
    with pytest.raises(UnknownName, match="nothing"):
        fs.experiment("nothing")


def test_a_key_that_is_missing_is_named(fs):
    with pytest.raises(InputError, match="card_id"):
        begun(fs).read([{"card": "c1"}])


@pytest.mark.parametrize("value", [1, True, 1.5, ["c1"], None])
def test_a_key_of_another_type_is_refused_at_every_door(fs, value):
    trial, keys = begun(fs), [*CARDS[:1], {"card_id": value}]
    with pytest.raises(InputError, match="card_id"):
        trial.assign(keys[1])
    with pytest.raises(InputError, match="card_id"):
        trial.read(keys)
    app = App(fs, Settings())
    app.start()
    answer = call(app, "POST", "/v1/experiments/trial", {"entities": keys})
    assert answer.status == 422
    assert "card_id" in answer.data["what"]
    assert trial.exposures() == []


def test_an_outcome_has_to_be_said(fs):
    with pytest.raises(InputError, match="has no outcome"):
        begun(fs).compare()


def test_the_ledger_has_what_began_was_looked_at_and_ended(fs):
    trial = begun(fs)
    trial.compare("Spend:total", "1d")
    trial.stop()
    kinds = [r.kind for r in fs.runtime.ledger.records() if r.kind.startswith("experiment")]
    assert kinds == ["experiment", "experiment look", "experiment stopped"]
    assert fs.runtime.ledger.verify().ok


def test_the_command_tells_and_compares(fs, tmp_path: Path):
    begun(fs).read(CARDS)
    about = data_of(run_in(tmp_path, "experiment", "trial", "--json"))
    assert (about["exposed"], about["running"]) == (200, True)
    found = data_of(run_in(tmp_path, "experiment", "trial", "--outcome", "Spend:total", "--json"))
    assert sum(found["exposed"]) == 200
    assert (
        "look 2" in ran(run_in(tmp_path, "experiment", "trial", "--outcome", "Spend:total")).stdout
    )
    assert data_of(run_in(tmp_path, "experiment", "trial", "--stop", "--json"))["running"] is False
    assert run_in(tmp_path, "experiment", "nothing").exit_code != 0


def test_over_http_each_entity_is_answered_by_its_service(fs):
    begun(fs)
    app = App(fs, Settings())
    app.start()
    answer = call(app, "POST", "/v1/experiments/trial", {"entities": CARDS[:20]})
    assert answer.status == 200, answer.body
    data = answer.data
    assert data["variants"] == list(map(variant, CARDS[:20]))
    for name, features in (("control", {"total"}), ("treatment", {"total", "count"})):
        assert set(data[name]["values"]) == features
        assert len(data[name]["values"]["total"]) == data["variants"].count(name)
    assert len(fs.experiment("trial").exposures()) == 20
    assert call(app, "POST", "/v1/experiments/trial", {"entities": []}).data["control"] is None
    assert call(app, "POST", "/v1/experiments/nothing", {"entities": CARDS[:1]}).status == 404
    wrong = call(app, "POST", "/v1/experiments/trial", {"entities": [{"card": "c1"}]})
    assert wrong.status == 422


def test_a_server_answers_many_entities_at_once_from_the_first_read_on(fs):
    fs.push("pays", [each | {"amount": 5.0, "at": NOW} for each in CARDS], backdate=True)
    rows = begun(fs).read(CARDS)
    app = App(fs, Settings())
    app.start()
    for _ in range(2):  # what an entity costs is not known before the first
        answer = call(app, "POST", "/v1/experiments/trial", {"entities": CARDS})
        assert answer.status == 200, answer.data
        assert answer.data["variants"] == [row["trial"] for row in rows]
        for name in ("control", "treatment"):
            mine = [row for row in rows if row["trial"] == name]
            assert answer.data[name]["values"]["total"] == [row["total"] for row in mine]
            assert answer.data[name]["statuses"]["total"] == ["present"] * len(mine)

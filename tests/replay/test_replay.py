"""A request is replayed: what was served, what history gives, why they differ, and who else is hit."""

import json

import pytest

import skewless as sl
from skewless.errors import InputError, UnknownName
from skewless.replay import causes
from skewless.replay.report import NOT_LOGGED
from skewless.serving.app import App
from skewless.serving.settings import Settings
from tests.cli.running import data_of, ran, run_in
from tests.serving.calling import call
from tests.shop import HOUR, MINUTE, NOON, SECOND, open_store, pay, payments

PAYS = payments(row_id="pay_id")
ASKED = sl.Request("asked", float)


def spend(window="1h"):
    return sl.FeatureView(
        "Spend",
        entity=sl.Entity("card", card_id=str),
        source=PAYS,
        features={"total": PAYS.amount.sum(window), "newest": PAYS.city.latest()},
    )


SPEND = spend()
RATIO = sl.OnDemandView("Ratio", features={"ratio": ASKED / SPEND.total})
FRAUD = sl.FeatureService("fraud", [SPEND, RATIO])
ROWS = [
    pay(f"p{number}", NOON - number * MINUTE, 1.0, card=f"c{number % 3}", city="Bonn")
    for number in range(12)
]


class Shop:
    """A store whose server logs every answer."""

    def __init__(self, folder):
        self.fs = open_store(folder, SPEND, RATIO, FRAUD, rewind="1h")
        self.fs.push("pays", ROWS)
        self.at(NOON + 10 * MINUTE)
        self.app = App(self.fs, Settings(served_log=1.0))
        self.app.start()

    def at(self, moment):
        self.fs.runtime.clock.time = moment

    def ask(self, name, *cards, asked=2.0):
        """Ask the server, and give the answer's id back."""
        entities = [{"card_id": card, "asked": asked} for card in cards]
        body = {"service": "fraud", "entities": entities}
        given = call(self.app, "POST", "/v1/features", body, headers={"x-request-id": name})
        assert given.status == 200, given.data
        self.app.upkeep.work()
        return given.headers["x-request-id"]

    def replay(self, *words, **given):
        return self.fs.replay(*words, **given)


@pytest.fixture
def shop(tmp_path):
    shop = Shop(tmp_path / "shop")
    with shop.fs:
        yield shop


def cause(found, feature, read=0):
    (value,) = [v for v in found.reads[read].values if v.feature.endswith(f":{feature}")]
    return value


def test_what_was_right_and_still_is_has_no_cause(shop):
    found = shop.replay(shop.ask("r1", "c1", "c2"))
    assert found.ok
    assert found.causes == []
    assert [read.entity["card_id"] for read in found.reads] == ["c1", "c2"]
    value = cause(found, "total")
    assert (value.served, value.then, value.since) == (4.0, 4.0, 4.0)
    assert found.affected == ()


def test_a_late_row_is_named_and_so_are_others_who_had_not_seen_it(shop):
    for name in ("before", "r1", "other"):
        shop.ask(name, "c2" if name == "other" else "c1")
    shop.at(NOON + 20 * MINUTE)
    shop.fs.push("pays", [pay("late", NOON - 5 * MINUTE, 7.0, card="c1")])
    shop.at(NOON + 21 * MINUTE)
    shop.ask("after", "c1")
    found = shop.replay("r1")
    total = cause(found, "total")
    assert (total.served, total.then, total.since) == (4.0, 4.0, 11.0)
    assert total.cause.name == causes.LATE
    assert [row.values["pay_id"] for row in total.cause.rows] == ["late"]
    assert cause(found, "ratio").cause.name == causes.LATE
    assert cause(found, "newest").cause.name == causes.SAME
    assert found.ok  # it was right when it was served
    (others,) = found.affected
    assert (others.source, others.answers, others.requests, others.entities) == ("pays", 1, 1, 1)
    assert (others.examples, others.looked_at) == (("before",), 3)
    assert "late data" in str(found)
    assert "before" in str(found)


@pytest.mark.parametrize("how", ["corrected", "deleted"])
def test_what_was_corrected_or_deleted_since_is_told_from_what_was_late(shop, how):
    shop.ask("r1", "c1")
    shop.at(NOON + 20 * MINUTE)
    if how == "corrected":
        shop.fs.push("pays", [ROWS[4] | {"amount": 5.0}])
    else:
        shop.fs.delete("pays", ["p4"])
    total = cause(shop.replay("r1"), "total")
    assert total.cause.name == causes.CORRECTED
    assert total.since == (8.0 if how == "corrected" else 3.0)
    assert "p4" in {row.values["pay_id"] for row in total.cause.rows}


def test_a_state_that_was_behind_is_stale_with_the_row_it_lacked(shop):
    (part,) = shop.fs.runtime.reader.lookup(["Spend:total"], True).parts
    (key,) = part.keys([{"card_id": "c1"}])
    old = shop.fs.runtime.online.read(part.table, [key])[0]
    shop.fs.push("pays", [pay("lost", NOON + 9 * MINUTE, 3.0, card="c1")])
    shop.fs.runtime.online.write(part.table, [(key, old)])
    shop.at(NOON + 12 * MINUTE)
    shop.ask("r1", "c1")
    shop.ask("r2", "c2")
    shop.ask("r3", "c1")
    found = shop.replay("r1")
    total = cause(found, "total")
    assert (total.served, total.then) == (4.0, 7.0)
    assert total.cause.name == causes.STALE
    assert [row.values["pay_id"] for row in total.cause.rows] == ["lost"]
    assert not found.ok
    (others,) = found.affected
    assert (others.fault, others.requests, others.examples) == (causes.WAS_WRONG, 1, ("r3",))
    assert cause(found, "ratio").cause.name == causes.STALE


def test_a_row_that_had_just_become_known_was_in_flight(shop):
    (part,) = shop.fs.runtime.reader.lookup(["Spend:total"], True).parts
    (key,) = part.keys([{"card_id": "c1"}])
    old = shop.fs.runtime.online.read(part.table, [key])[0]
    shop.fs.push("pays", [pay("new", NOON + 10 * MINUTE, 3.0, card="c1")])
    shop.fs.runtime.online.write(part.table, [(key, old)])
    shop.at(NOON + 10 * MINUTE + SECOND)
    assert cause(shop.replay(shop.ask("r1", "c1")), "total").cause.name == causes.IN_FLIGHT


def test_a_definition_that_changed_since_is_said(shop):
    shop.ask("r1", "c1")
    shop.fs.apply(shop.fs.plan(spend("5m")))
    total = cause(shop.replay("r1"), "total")
    assert total.cause.name == causes.CHANGED
    assert total.feature == "Spend@v1:total"
    assert total.today == ("Spend@v2:total", 0.0)


def test_an_entity_and_a_time_stand_for_the_newest_answer_until_then(shop):
    shop.ask("first", "c1")
    shop.at(NOON + 15 * MINUTE)
    shop.ask("second", "c1")
    assert shop.replay(entity={"card_id": "c1"}).reads[0].request == "second"
    at = NOON + 12 * MINUTE
    assert shop.replay(entity={"card_id": "c1"}, at=at).reads[0].request == "first"


def test_what_nobody_logged_is_computed_and_said_to_be(shop):
    given = {"entity": {"card_id": "c1"}, "features": "Spend", "at": NOON + MINUTE}
    found = shop.replay(**given)
    assert {value.status for value in found.reads[0].values} == {NOT_LOGGED}
    assert cause(found, "total").then == 4.0
    shop.at(NOON + HOUR)
    shop.fs.push("pays", [pay("late", NOON, 2.0, card="c1")])
    assert cause(shop.replay(**given), "total").cause.name == causes.LATE


def test_what_is_not_in_the_log_is_refused_with_the_way_on(shop):
    with pytest.raises(InputError, match="no served log"):
        shop.replay("nobody")
    shop.ask("r1", "c1")
    with pytest.raises(UnknownName, match="--served-log"):
        shop.replay("nobody")
    with pytest.raises(InputError, match="--features"):
        shop.replay(entity={"card_id": "nobody"})
    with pytest.raises(InputError, match="one of them"):
        shop.replay("r1", entity={"card_id": "c1"})


def test_the_command_says_the_same_and_exits_by_it(shop):
    shop.ask("r1", "c1")
    folder = shop.fs.config.folder
    shop.fs.close()
    assert data_of(run_in(folder, "replay", "r1", "--json"))["reads"][0]["request"] == "r1"
    text = ran(run_in(folder, "replay", "card_id=c1")).stdout
    assert "known then" in text
    assert json.loads(run_in(folder, "replay", "no", "--json").stdout)["error"] == "UnknownName"

"""The parity proof finds nothing where nothing is wrong, and finds what is, with the rows to blame."""

import json
import shutil
import struct

import pytest

import skewless as sl
from skewless.errors import InputError, UnknownName
from skewless.online.seen import seen_table
from skewless.parity import compare, diagnose
from skewless.serving.app import App
from skewless.serving.settings import Settings
from skewless.state.prepend import Inserter
from skewless.testing.memory import MemoryCache
from skewless.testing.traffic import run_scenarios
from tests.cli.running import data_of, ran, run_in
from tests.serving.calling import call
from tests.shop import HOUR, MINUTE, NOON, SECOND, cards, open_store, pay, payments

PAYS = payments(row_id="pay_id")
SPEND = sl.FeatureView(
    "Spend",
    entity=sl.Entity("card", card_id=str),
    source=PAYS,
    features={
        "total": PAYS.amount.sum("1h"),
        "spread": PAYS.amount.std(last=5),
        "newest": PAYS.city.latest(),
        "ever": PAYS.count(sl.lifetime()),
    },
)
ROWS = [
    pay(
        f"p{number}", NOON - number * MINUTE, 0.1 * number, card=f"c{number % 3}", city=f"x{number}"
    )
    for number in range(12)
]


@pytest.fixture
def shop(tmp_path):
    """Rows of three cards, known at noon; it is an hour later."""
    with open_store(tmp_path / "shop", SPEND, rewind="1h") as fs:
        fs.push("pays", ROWS)
        fs.runtime.clock.time = NOON + HOUR // 2
        yield fs


def place(fs, card):
    """The table and the key of a card's state."""
    (part,) = fs.runtime.reader.lookup(["Spend:total"], True).parts
    (key,) = part.keys(cards(card))
    return part.table, key


def state_of(fs, card):
    table, key = place(fs, card)
    return fs.runtime.online.read(table, [key])[0]


def replace_state(fs, card, state):
    table, key = place(fs, card)
    if state is None:
        fs.runtime.online.delete(table, [key])
    else:
        fs.runtime.online.write(table, [(key, state)])


def found(fs, **options):
    """The report on what is served now; it finds something, and says so in every form."""
    report = fs.verify(seed=1, **options)
    assert not report.ok
    assert report.to_dict()["ok"] is False
    assert "DIFFER" in str(report)
    return report


def only(report, feature, at=None):
    """The kept differences of a feature (at a moment)."""
    return [
        each
        for each in report.differences
        if each.feature.endswith(f":{feature}") and at in (None, each.at)
    ]


# ------------------------------------------------------------------------------- what is served now


def test_what_is_served_is_what_history_gives(shop):
    report = shop.verify(seed=1)
    assert report.ok
    assert report.reads == 3 * 4  # three cards, four moments
    assert report.values == dict.fromkeys((f"Spend@v1:{f}" for f in SPEND.features), 12)
    assert report.statuses > 0
    assert report.to_dict()["differing"] == 0
    assert "all the same to the last bit" in str(report)


def test_a_row_that_the_online_state_lost_is_found_and_shown(shop):
    old = state_of(shop, "c1")
    lost = pay("p99", NOON + 20 * MINUTE, 0.5, card="c1", city="lost")
    shop.runtime.clock.time = NOON + 25 * MINUTE
    shop.push("pays", [lost])
    replace_state(shop, "c1", old)
    shop.runtime.clock.time = now = NOON + HOUR // 2
    report = found(shop)
    assert {each.entity["card_id"] for each in report.differences} == {"c1"}
    (newest,) = only(report, "newest", now)
    assert (newest.served, newest.computed) == (("x1", "present"), "lost")
    assert newest.reference == ("lost", "present")
    assert newest.why == diagnose.LACKS_NEWEST
    assert [row.values["pay_id"] for row in newest.rows] == ["p99"]
    assert "p99" in json.dumps(report.to_dict()["differences"])


def test_a_single_wrong_bit_in_a_stored_value_is_found(shop):
    """Of one amount, the lowest that the sum can show; the count of rows stays right."""
    state = bytearray(state_of(shop, "c1"))
    at = state.index(struct.pack("<d", ROWS[4]["amount"]))
    state[at] ^= 8
    replace_state(shop, "c1", bytes(state))
    report = found(shop)
    assert {each.entity["card_id"] for each in report.differences} == {"c1"}
    assert {each.feature for each in report.differences} <= {"Spend@v1:total", "Spend@v1:spread"}
    (total,) = only(report, "total", shop.runtime.clock.time)
    assert total.served[0] != total.computed == total.reference[0]
    assert total.why == diagnose.NO_SUCH
    assert {row.values["pay_id"] for row in total.rows} == {"p1", "p4", "p7", "p10"}
    assert total.served[0].hex() in str(report)
    assert total.computed.hex() in str(report)


def test_a_correction_that_the_online_state_lost_is_found_and_shown(shop):
    old = state_of(shop, "c2")
    shop.runtime.clock.time = NOON + MINUTE
    shop.push("pays", [ROWS[2] | {"city": "corrected"}])
    replace_state(shop, "c2", old)
    shop.runtime.clock.time = now = NOON + HOUR // 2
    (newest,) = only(found(shop), "newest", now)
    assert (newest.served[0], newest.computed) == ("x2", "corrected")
    assert "corrected" in [row.values["city"] for row in newest.rows]


def test_an_entity_that_the_online_store_lacks_is_found(shop):
    """Somebody has deleted its state, and the note of it."""
    table, key = place(shop, "c0")
    shop.runtime.online.delete(seen_table(table), [key])
    replace_state(shop, "c0", None)
    report = found(shop)
    assert {each.entity["card_id"] for each in report.differences} == {"c0"}
    (ever,) = only(report, "ever", shop.runtime.clock.time)
    assert (ever.served, ever.computed) == ((0, "unknown"), 4)
    assert len(ever.rows) == 4


def test_an_entity_whose_state_was_deleted_is_building_and_no_difference(shop):
    replace_state(shop, "c0", None)
    assert shop.verify(seed=1).ok
    shop.push("pays", [ROWS[0]])
    assert shop.verify(seed=1).ok
    assert state_of(shop, "c0") is not None


def test_an_entity_that_history_lacks_is_found(shop):
    replace_state(shop, "ghost", state_of(shop, "c0"))
    report = found(shop)
    assert {each.entity["card_id"] for each in report.differences} == {"ghost"}
    (ever,) = only(report, "ever", shop.runtime.clock.time)
    assert (ever.served[0], ever.computed, ever.rows) == (4, 0, ())


def test_a_row_that_was_known_for_less_than_a_moment_is_in_flight(shop):
    """A read may come between the moment a row is admitted and the moment it is durable."""
    old = state_of(shop, "c1")
    late = pay("p99", NOON + 29 * MINUTE, 0.5, card="c1", city="late")
    shop.push("pays", [late])
    replace_state(shop, "c1", old)
    shop.runtime.clock.time += SECOND
    report = shop.verify(seed=1)
    assert report.ok
    assert report.in_flight["Spend@v1:newest"] >= 1
    assert "while a row was being written" in str(report)
    shop.runtime.clock.time += HOUR // 4
    assert not shop.verify(seed=1).ok


def test_a_table_that_changed_is_found_until_it_is_materialized(tmp_path):
    from tests.shop import write_part

    part = tmp_path / "shop" / "table"
    write_part(part / "a.parquet", ROWS)
    source = payments(row_id="pay_id", table=sl.Parquet("table/*.parquet"))
    view = sl.FeatureView(
        "Spend", entity=SPEND.entity, source=source, features={"total": source.amount.sum("1d")}
    )
    with open_store(tmp_path / "shop", view) as fs:
        fs.materialize()
        fs.runtime.clock.time = NOON + HOUR
        assert fs.verify(seed=1).ok
        write_part(part / "b.parquet", [pay("p98", NOON - SECOND, 7.0, card="c1")])
        report = found(fs)
        assert any("skewless materialize" in note for note in report.notes)
        assert [row.values["pay_id"] for row in only(report, "total")[0].rows] == ["p98"]
        fs.materialize()
        assert fs.verify(seed=1).ok


def test_views_may_be_named(shop):
    assert shop.verify("Spend", entities=1, seed=1).reads == 4
    assert shop.verify("Spend", entities=2, seed=1).reads == 8
    assert shop.verify(["Spend@v1"], seed=1).ok
    with pytest.raises(UnknownName, match="Spent"):
        shop.verify("Spent")


def test_features_on_demand_are_compared_with_what_they_are_computed_from(tmp_path):
    """With request fields there is nothing to ask for by itself: results at hand are compared."""
    asked = sl.Request("asked", float)

    @sl.on_demand
    class Ratio:
        ratio = asked / SPEND.total
        plain = SPEND.total * 2

    @sl.on_demand
    class Doubled:
        twice = SPEND.total * 2

    with open_store(tmp_path / "shop", SPEND, Ratio, Doubled, rewind="1h") as fs:
        fs.push("pays", ROWS)
        fs.runtime.clock.time = NOON + MINUTE
        report = fs.verify(seed=1)
        assert report.ok
        assert report.values["Doubled@v1:twice"] > 0
        assert any("Ratio@v1 needs request fields (asked)" in note for note in report.notes)
        entities = [{"card_id": f"c{n}", "asked": 3.0} for n in range(3)]
        result = fs.get_online_features(["Ratio:ratio", "Ratio:plain"], entities)
        assert fs.verify(served=[result]).ok
        result.values[1][0] += 1.0
        (difference,) = found(fs, served=[result]).differences
        assert difference.feature == "Ratio@v1:ratio"
        assert difference.entity == entities[1]
        assert {row.values["pay_id"] for row in difference.rows} == {"p1", "p4", "p7", "p10"}


# ---------------------------------------------------------------------------------- what was served


def test_no_value_differs_twice(shop, monkeypatch):
    """Those beyond the ones that are explained were counted again by the checks of statuses."""
    monkeypatch.setattr(compare, "MOST_EXAMINED", 2)
    served = shop.get_online_features(["Spend:ever"], cards("c0", "c1", "c2"))
    for row in served.values:
        row[0] += 1
    report = shop.verify(served=[served])
    assert (report.values.total(), report.differing.total()) == (3, 3)


def test_results_at_hand_are_compared(shop):
    result = shop.get_online_features("Spend", cards("c0", "c1"))
    assert shop.verify(served=[result]).ok
    result.values[1][0] += 1.0
    report = found(shop, served=[result])
    assert report.differing == {"Spend@v1:total": 1}


@pytest.fixture
def served(shop):
    """A folder with the served log of a server that every card was read from, again and again."""
    app = App(shop, Settings(served_log=1.0))
    app.start()
    clock = shop.runtime.clock
    body = {"features": ["Spend"], "entities": {"card_id": ["c0", "c1", "c2", "nobody"]}}
    for number in range(20, 24):
        clock.time += MINUTE
        shop.push("pays", [pay(f"p{number}", clock.time - 10 * SECOND, 0.1, card="c1")])
        clock.time += MINUTE
        assert call(app, "POST", "/v1/features", body).status == 200
        clock.time += SECOND
        shop.push("pays", [ROWS[number - 20] | {"city": "corrected"}])
    app.upkeep.work()
    return shop.config.folder / ".skewless" / "served"


def test_what_a_server_logged_is_what_history_gives(shop, served):
    """Rows that came later, and corrections, do not make it wrong: they were not known then."""
    report = shop.verify(served=served)
    assert report.ok
    assert report.reads == 4 * 4
    assert report.statuses == 4 * 4 * len(SPEND.features)


def changed(served, change):
    """Change the first line about c1."""
    (file,) = served.glob("served-*.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    change(next(line for line in lines if line["entity"]["card_id"] == "c1"))
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def test_a_wrong_line_of_a_served_log_is_found_by_the_command(shop, served):
    def off_by_a_bit(line):
        line["values"][0] *= 1 + 2**-52

    changed(served, off_by_a_bit)
    folder = shop.config.folder
    shop.close()
    words = ("verify", "--served-log", str(served))
    told = data_of(run_in(folder, *words, "--json"), code=1)
    assert (told["reads"], told["differing"]) == (16, 1)
    (difference,) = told["differences"]
    assert difference["feature"] == "Spend@v1:total"
    assert difference["entity"] == {"card_id": "c1"}
    assert len(difference["rows"]) == 5
    shown = ran(run_in(folder, *words), code=1).output
    assert "1 DIFFER" in shown
    assert "Spend@v1:total of card_id=c1 at " in shown


def test_a_wrong_status_is_found_where_the_reference_engine_is_asked(shop, served):
    def unknown(line):
        line["statuses"][3] = "unknown"

    changed(served, unknown)
    report = found(shop, served=served)
    (difference,) = report.differences
    assert difference.served == (5, "unknown")
    assert difference.reference == (5, "present")


def test_a_line_cut_by_a_kill_is_passed_over_and_what_is_no_log_is_refused(shop, served, tmp_path):
    (file,) = served.glob("served-*.jsonl")
    with file.open("a") as log:
        log.write('{"format": 1, "at": 17')
    assert shop.verify(served=file).reads == 16
    with file.open("a") as log:
        log.write("\n")
    with pytest.raises(InputError, match="(?s)not JSON.*line 17"):
        shop.verify(served=file)
    (tmp_path / "other.jsonl").write_text('{"format": 7}\n')
    with pytest.raises(InputError, match="not a line of a served log"):
        shop.verify(served=tmp_path / "other.jsonl")
    with pytest.raises(InputError, match="there is no served log.*--served-log"):
        shop.verify(served=tmp_path / "nowhere")


def test_features_that_are_gone_are_told_and_left_out(shop, served):
    def older(line):
        line["features"] = [name.replace("@v1", "@v9") for name in line["features"]]

    changed(served, older)
    report = shop.verify(served=served)
    assert report.skipped == {"of features that are no longer served": 1}
    assert report.reads == 15


def test_the_command_on_what_is_served_now(shop):
    folder = shop.config.folder
    shop.close()
    told = data_of(run_in(folder, "verify", "Spend", "--entities", "2", "--seed", "1", "--json"))
    assert (told["ok"], told["views"]["Spend@v1"]["differing"]) == (True, 0)
    shutil.rmtree(folder / ".skewless")
    (folder / "skewless.toml").touch()
    assert "nothing to compare" in ran(run_in(folder, "verify"), code=1).output


# -------------------------------------------------------------------------------- generated traffic


def test_generated_traffic_differs_in_no_bit(tmp_path):
    """Late, duplicated, corrected, in every batch size, by push and by stream, killed, restarted."""
    told = data_of(run_in(tmp_path, "verify", "--generate", "12000", "--seed", "9", "--json"))
    assert told["differing"] == 0
    assert told["values"] >= 12_000
    traffic = told["traffic"]
    for what in ("late rows", "duplicates", "corrections and deletions", "quarantined rows",
                 "processes killed", "stream steps", "push steps", "reopen steps"):  # fmt: skip
        assert traffic[what] > 0, what


def test_generated_traffic_of_any_seed_differs_in_no_bit(tmp_path, seed):
    with sl.FeatureStore(tmp_path) as fs:
        report = fs.verify(generate=4_000, seed=seed)
    assert report.ok, str(report)
    assert report.values.total() >= 4_000
    assert list(tmp_path.iterdir()) == []


def test_a_seed_gives_the_same_plays_again():
    def run(seed):
        seen = []
        run_scenarios(1, seed=seed, check=lambda runtime, results, name: seen.extend(
            (name, result.at, repr(result.entities), repr(result.values)) for result in results
        ))  # fmt: skip
        return seen

    once = run(11)
    assert once
    assert run(11) == once
    assert run(12) != once


def test_a_bug_in_the_online_path_is_found_in_generated_traffic(tmp_path, monkeypatch):
    """The proof can fail: a state that loses every ninth row it is given does not pass."""
    added, calls = Inserter.add, []

    def lossy(self, state, record, order, tails):
        calls.append(order)
        return state if len(calls) % 9 == 0 else added(self, state, record, order, tails)

    monkeypatch.setattr(Inserter, "add", lossy)
    for seed in range(10):  # what a seed plays changes with every new aggregation
        repo = tmp_path / f"{seed}"
        repo.mkdir()
        with sl.FeatureStore(repo) as fs:
            report = fs.verify(generate=4_000, seed=seed)
        if not report.ok:
            break
    assert not report.ok
    assert any(difference.rows for difference in report.differences)
    assert any("scenario" in note and f"seed {seed}" in note for note in report.notes)


@pytest.mark.parametrize("nested", [False, True])
def test_a_zero_of_the_other_sign_differs(tmp_path, nested):
    pays = payments()
    features = {"x": pays.amount.last_n(2, last=2) if nested else pays.amount.latest()}
    view = sl.FeatureView(
        "Zero", entity=sl.Entity("card", card_id=str), source=pays, features=features
    )
    with open_store(tmp_path / "shop", view) as fs:
        fs.push("pays", [pay("p1", NOON - MINUTE, 0.0), pay("p2", NOON - MINUTE, 0.0)])
        served = fs.get_online_features("Zero", cards("c1"))
        assert fs.verify(served=[served]).ok
        served.values[0][0] = [0.0, -0.0] if nested else -0.0
        report = fs.verify(served=[served])
        assert report.differing == {"Zero@v1:x": 1}


@pytest.mark.parametrize(
    ("served", "computed"),
    [(0.0, -0.0), (-0.0, 0.0), (1, 1.0), (True, 1), (None, 0.0), ([0.0], [-0.0]),
     ({"a": 0.0}, {"a": -0.0}), ([1.0], [1])],
)  # fmt: skip
def test_columns_are_compared_to_the_last_bit(served, computed):
    """Beyond the answers that the reference engine looks at, this comparison is the only one."""
    served, computed = [1.5, None, served, "x"], [1.5, None, computed, "x"]
    assert compare.differing(served, computed) == [2]
    assert compare.differing(served, list(served)) == []


def test_a_store_that_lost_its_states_is_reported_as_lost(tmp_path) -> None:
    cache = MemoryCache()
    fs = open_store(tmp_path, SPEND, using=cache, rewind="1h")
    fs.push("pays", ROWS)
    assert fs.verify(seed=1).ok
    cache.lose()
    report = fs.verify(seed=1)
    assert not report.ok
    assert (report.reads, report.values.total()) == (0, 0)
    assert "LOST: 1 tables of states" in str(report)
    assert "skewless materialize" in str(report)
    assert report.to_dict()["lost"]
    fs.push("pays", ROWS[:1])
    assert fs.verify(seed=1).ok


def test_a_state_that_vanished_is_left_out_as_building(tmp_path) -> None:
    cache = MemoryCache()
    fs = open_store(tmp_path, SPEND, using=cache, rewind="1h")
    fs.push("pays", ROWS)
    table, key = place(fs, "c1")
    cache.delete(table, [key])
    report = fs.verify(seed=1)
    assert report.ok
    assert report.skipped["values that are building"] == 4 * len(SPEND.features)
    assert report.values.total() == 2 * 4 * len(SPEND.features)

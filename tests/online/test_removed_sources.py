"""A source that is removed keeps its rows apart; one that comes back under its name begins again."""

import pytest

import skewless as sl
from skewless.clock import from_micros
from skewless.ingest.quarantine import size_of
from skewless.online.quarantine_table import QuarantineSize
from tests.ingest.test_push import TwoStores, spend_of
from tests.shop import HOUR, MINUTE, NOON, SCHEMA, cards, check_parity, open_store, pay, payments

ALL = cards("c1", "c2", "nobody")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "repo"


def other():
    source = sl.Source("other", schema={"card_id": str}, event_time="at")
    card = sl.Entity("card", card_id=str)
    return sl.FeatureView("Other", entity=card, source=source, features={"n": source.count("1d")})


def removed(fs):
    """Remove the view and its source."""
    fs.apply(fs.plan(other(), removing=True), allow_breaking=True)


def count(fs):
    return fs.get_online_features("Spend:count_1d", cards("c1")).to_dict()["count_1d"][0]


@pytest.mark.parametrize("one_store", [True, False])
@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("settled", [True, False])
def test_source_that_comes_back_under_its_name_begins_without_the_old_rows(
    folder, one_store, ids, settled
):
    view = spend_of(payments(row_id="pay_id") if ids else payments())
    options = {} if one_store else {"using": TwoStores()}
    with open_store(folder, view, other(), **options) as fs:
        fs.push("pays", [pay("a", NOON - HOUR), pay("b", NOON - HOUR)])
        if settled:
            fs.compact()
        removed(fs)
        assert [(log.source, log.rows) for log in fs.kept_rows()] == [("pays", 2)]
        fs.apply(fs.plan(view, other()))
        check_parity(fs, view, ALL)
        assert count(fs) == 0
        assert fs.push("pays", [pay("a", NOON - MINUTE)]).accepted == 1
        fs.compact()
        check_parity(fs, view, ALL)
        assert count(fs) == 1
        assert fs.drop_rows("pays") == 2
        assert fs.kept_rows() == []
        check_parity(fs, view, ALL)


def test_rows_of_a_removed_source_are_given_back_on_purpose(folder):
    view = spend_of(payments(row_id="pay_id"))
    with open_store(folder, view, other()) as fs:
        fs.push("pays", [pay("a", NOON - HOUR), pay("b", NOON - HOUR)])
        removed(fs)
        fs.apply(fs.plan(view, other()))
        assert fs.restore_rows("pays") == 2
        check_parity(fs, view, ALL)
        assert count(fs) == 2
        assert fs.push("pays", [pay("a", NOON - HOUR)]).duplicates == 1
        removed(fs)
        fs.apply(fs.plan(view, other()))
        fs.push("pays", [pay("c", NOON - HOUR)])
        with pytest.raises(sl.InputError, match="rows of its own by now"):
            fs.restore_rows("pays")
        with pytest.raises(sl.UnknownName, match="Removed sources: pays"):
            fs.drop_rows("nothing")


def test_row_ids_are_those_of_the_log_that_is_given_back(folder):
    view = spend_of(payments(row_id="pay_id"))
    with open_store(folder, view, other()) as fs:
        fs.push("pays", [pay("a", NOON - HOUR)])
        removed(fs)
        fs.apply(fs.plan(view, other()))
        fs.push("pays", [pay("b", NOON - HOUR)])
        fs.delete("pays", ["b"])
        removed(fs)
        fs.apply(fs.plan(view, other()))
        fs.restore_rows("pays")  # that of b
        assert fs.push("pays", [pay("a", NOON - HOUR)]).accepted == 1
        removed(fs)
        assert fs.drop_rows("pays") == 4
        fs.apply(fs.plan(view, other()))
        assert fs.push("pays", [pay("a", NOON - HOUR)]).accepted == 1
        check_parity(fs, view, ALL)


def test_older_rows_are_given_back_with_their_ids(folder):
    view = spend_of(payments(row_id="pay_id"))
    with open_store(folder, view, other()) as fs:
        fs.push("pays", [pay("a", NOON - HOUR)])
        removed(fs)
        fs.apply(fs.plan(view, other()))
        fs.push("pays", [pay("b", NOON - HOUR)])
        removed(fs)
        fs.runtime.journal.drop(fs.kept_rows()[-1].table)
        fs.apply(fs.plan(view, other()))
        assert fs.restore_rows("pays") == 1
        assert fs.push("pays", [pay("a", NOON - HOUR)]).duplicates == 1
        assert fs.push("pays", [pay("b", NOON - HOUR)]).accepted == 1
        check_parity(fs, view, ALL)


def test_another_process_sees_at_once_that_a_source_began_anew(folder):
    view = spend_of(payments())
    with open_store(folder, view, other()) as fs, open_store(folder) as server:
        server.push("pays", [pay("a", NOON - HOUR)])
        removed(fs)
        fs.apply(fs.plan(view, other()))
        server.push("pays", [pay("b", NOON - HOUR)])
        spine = [{"card_id": "c1", "t": from_micros(NOON)}]
        trained = server.get_historical_features(spine, "Spend", timestamp="t").to_dict()
        assert trained["count_1d"] == [1]
        assert count(fs) == 1


def test_plan_says_what_happens_to_the_rows(folder):
    with open_store(folder, spend_of(payments()), other()) as fs:
        plan = fs.plan(other(), removing=True)
        assert "source pays: removed; its rows are kept apart" in str(plan)


def reasons(fs):
    return [row.reason for row in fs.quarantine("pays")]


def bad(fs, number):
    with pytest.raises(sl.RowsRefused):
        fs.push("pays", [pay(f"bad{number}", NOON, amount="much")])


@pytest.mark.parametrize("one_store", [True, False])
@pytest.mark.parametrize("rows", [0, 2])
def test_the_quarantine_of_a_removed_source_is_not_that_of_the_next(folder, one_store, rows):
    view = spend_of(payments(row_id="pay_id"))
    options = {} if one_store else {"using": TwoStores()}
    with open_store(folder, view, other(), **options) as fs:
        fs.push("pays", [pay(str(n), NOON - HOUR) for n in range(rows)])
        bad(fs, 1)
        removed(fs)
        assert [(log.rows, log.quarantined) for log in fs.kept_rows()] == [(rows, 1)]
        fs.apply(fs.plan(view, other()))
        assert fs.quarantine("pays") == []
        assert size_of(fs.runtime, "pays") == QuarantineSize(0, 0)
        bad(fs, 2)
        bad(fs, 3)
        assert len(reasons(fs)) == 2
        if rows:
            assert fs.restore_rows("pays") == rows
            assert size_of(fs.runtime, "pays") == QuarantineSize(3, 0)
            assert len(reasons(fs)) == 3
            assert fs.kept_rows() == []
        else:
            with pytest.raises(sl.UnknownName):
                fs.restore_rows("pays")
        removed(fs)
        fs.apply(fs.plan(view, other()))
        assert fs.quarantine("pays") == []
        assert fs.drop_rows("pays") == rows
        assert fs.kept_rows() == []
        journal = fs.runtime.journal
        left = [t for t in journal.tables() if t.startswith("quarantine.")]
        assert not [row for table in left for row in journal.scan(table)]


def test_rows_quarantined_are_counted_under_a_new_name_of_their_source(folder):
    with open_store(folder, spend_of(payments(row_id="pay_id"))) as fs:
        bad(fs, 1)
        renamed = sl.Source("paid", schema=SCHEMA, event_time="at", row_id="pay_id", was="pays")
        fs.apply(fs.plan(spend_of(renamed)))
        assert size_of(fs.runtime, "paid") == QuarantineSize(1, 0)
        assert len(fs.quarantine("paid")) == 1

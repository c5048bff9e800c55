"""A source that is removed keeps its rows apart; one that comes back under its name begins again."""

import pytest

import skewless as sl
from skewless.clock import from_micros
from tests.ingest.test_push import TwoStores, spend_of
from tests.shop import HOUR, MINUTE, NOON, cards, check_parity, open_store, pay, payments

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

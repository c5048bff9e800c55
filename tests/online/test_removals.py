"""A source that is removed, also where states lie apart and where a kill comes in between."""

import pytest

import skewless.online.apply
from skewless.clock import from_micros
from tests.ingest.test_push import TwoStores, spend_of
from tests.online.test_removed_sources import ALL, count, other, removed
from tests.shop import HOUR, MINUTE, NOON, check_parity, open_store, pay, payments


class Killed(BaseException):
    """Stands for the end of a process."""


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "repo"


def killed(*_, **__):
    raise Killed


def test_states_of_a_removed_source_are_not_taken_for_rows_that_the_log_lacks(folder):
    view, states = spend_of(payments(row_id="pay_id")), TwoStores()
    with open_store(folder, view, other(), using=states) as fs:
        fs.push("pays", [pay("a", NOON - HOUR), pay("b", NOON - HOUR)])
        removed(fs)
    with open_store(folder, using=states) as fs:
        fs.push("other", [{"card_id": "c1", "at": from_micros(NOON)}])
        fs.apply(fs.plan(view, other()))
    with open_store(folder, using=states) as fs:
        fs.push("pays", [pay("c", NOON - MINUTE)])
        check_parity(fs, view, ALL)
        assert count(fs) == 1


@pytest.mark.parametrize("moment", ["finish_removals", "reconcile"])
@pytest.mark.parametrize("one_store", [True, False])
def test_kill_amid_a_removal_brings_no_old_rows_back(folder, monkeypatch, one_store, moment):
    view, states = spend_of(payments(row_id="pay_id")), None if one_store else TwoStores()
    with open_store(folder, view, other(), using=states) as fs:
        fs.push("pays", [pay("a", NOON - HOUR), pay("b", NOON - HOUR)])
        apply = fs.runtime.registry.apply

        def applied(*given, **options):
            revision = apply(*given, **options)
            monkeypatch.setattr(skewless.online.apply, moment, killed)
            return revision

        fs.runtime.registry.apply = applied
        with pytest.raises(Killed):
            removed(fs)
    monkeypatch.undo()
    with open_store(folder, view, other(), using=states) as fs:
        assert [(log.source, log.rows) for log in fs.kept_rows()] == [("pays", 2)]
        assert count(fs) == 0
        fs.push("pays", [pay("a", NOON - MINUTE)])
        check_parity(fs, view, ALL)
        assert count(fs) == 1


def test_removal_that_was_not_carried_out_leaves_the_rows(folder):
    view = spend_of(payments(row_id="pay_id"))
    with open_store(folder, view, other()) as fs:
        fs.push("pays", [pay("a", NOON - HOUR)])
        fs.runtime.registry.apply = killed
        with pytest.raises(Killed):
            removed(fs)
    with open_store(folder, view, other()) as fs:
        assert fs.kept_rows() == []
        removed(fs)
        fs.apply(fs.plan(view, other()))
        assert [log.rows for log in fs.kept_rows()] == [1]
        assert count(fs) == 0

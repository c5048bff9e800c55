"""What a kill left undone between log and states is made good by whatever writes next."""

import pytest

from skewless.errors import StoreError, StoreUnavailable
from skewless.testing.memory import MemoryCache
from tests.shop import MINUTE, NOON, cards, check_parity, open_store, pay, payments, spend_of


def refuse(table):
    raise StoreUnavailable("no memory is left", where=table)


def test_materialize_brings_states_up_to_a_log_that_is_ahead_of_them(tmp_path):
    source = payments()
    view = spend_of(source, total=source.amount.sum("1h"), rows=source.count("1h"))
    store = MemoryCache()
    fs = open_store(tmp_path, view, using=store)
    fs.push("pays", [pay("p1", NOON - MINUTE)], backdate=True)
    takes, store.before_write = store.before_write, refuse
    with pytest.raises(StoreError, match="Do not send"):
        fs.push("pays", [pay("p2", NOON - 2 * MINUTE), pay("p3", NOON, card="c0")], backdate=True)
    store.before_write = takes

    fs.materialize()

    check_parity(fs, view, cards("c0", "c1"))
    fs.close()

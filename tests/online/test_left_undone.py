"""What a kill left undone between log and states is made good by whatever writes next."""

import pytest

from skewless.errors import StoreError, StoreUnavailable
from skewless.testing.lifecycle.places import ApartStore
from tests.jobs.shop import MINUTE, NOON, cards, check_parity, open_store, pay, payments, spend_of


class Refusing(ApartStore):
    """A store apart from its journal that can be told to take nothing."""

    refuses = False

    def write(self, table, items):
        self._take_part()
        super().write(table, items)

    def compare_and_set(self, table, changes):
        self._take_part()
        return super().compare_and_set(table, changes)

    def _take_part(self):
        if self.refuses:
            raise StoreUnavailable("no memory is left", where=self.where)


def test_materialize_brings_states_up_to_a_log_that_is_ahead_of_them(tmp_path):
    source = payments()
    view = spend_of(source, total=source.amount.sum("1h"), rows=source.count("1h"))
    store = Refusing()
    fs = open_store(tmp_path, view, using=store)
    fs.push("pays", [pay("p1", NOON - MINUTE)], backdate=True)
    store.refuses = True
    with pytest.raises(StoreError, match="Do not send"):
        fs.push("pays", [pay("p2", NOON - 2 * MINUTE), pay("p3", NOON, card="c0")], backdate=True)
    store.refuses = False

    fs.materialize()

    check_parity(fs, view, cards("c0", "c1"))
    fs.close()

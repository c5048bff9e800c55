"""What the online store refuses is kept in the log, said to be, and follows."""

import pytest

from skewless.errors import RowsKept, StoreError, StoreUnavailable
from tests.ingest.test_push import TwoStores, served
from tests.shop import NOON, cards, check_parity, open_store, pay, payments, spend_of

ALL = cards("c1", "c2", "nobody")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "repo"


@pytest.mark.parametrize("kind", [StoreError, StoreUnavailable])
def test_push_that_the_online_store_refuses_is_said_to_be_kept_and_comes_with_the_next(
    folder, kind
):
    spend = spend_of(payments())
    store = TwoStores()
    write, full = store.write, kind("out of memory", got="OOM", where="a store")

    def refuse(table, items):
        raise full

    with open_store(folder, spend, using=store) as fs:
        fs.push("pays", [pay("a", NOON)])
        store.write = refuse
        for _ in range(3):
            with pytest.raises(RowsKept, match="1 rows of source 'pays' were kept.*OOM") as caught:
                fs.push("pays", [pay("b", NOON)])
            assert "Do not send them again" in caught.value.hint
        store.write = write
        fs.push("pays", [pay("c", NOON)])
        check_parity(fs, spend, ALL)
        assert served(fs, "count_1d") == [5]

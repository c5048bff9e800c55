"""What a push of one row asks of the store: calls are counted, not time."""

from skewless.stores.online.lmdb.store import LMDBStore, LMDBTransaction
from tests.shop import MINUTE, NOON, open_store, pay, payments, spend_of


def test_a_push_looks_into_its_own_transaction_alone(tmp_path, monkeypatch):
    """No read beside it, and no look for rows that never are there."""
    reads, looks = [], []
    with open_store(tmp_path / "repo", spend_of(payments())) as fs:
        fs.push("pays", [pay("a", NOON - MINUTE)])
        read, beside = LMDBStore._read, LMDBTransaction.neighbours
        monkeypatch.setattr(LMDBStore, "_read", lambda *given: reads.append(given) or read(*given))
        monkeypatch.setattr(
            LMDBTransaction,
            "neighbours",
            lambda self, table, keys: (
                looks.extend((table, key) for key in keys) or beside(self, table, keys)
            ),
        )
        fs.push("pays", [pay("b", NOON - MINUTE)])
        assert reads == []
        assert looks == []

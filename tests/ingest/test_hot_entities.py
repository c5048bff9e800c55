"""Entities with very many rows: a push costs what it does elsewhere."""

from skewless.state import pieces
from skewless.stores.online.sealed import SealedTransaction
from tests.shop import HOUR, NOON, cards, check_parity, open_store, pay, payments, spend_of


def test_what_a_push_writes_does_not_follow_the_rows_in_the_windows(tmp_path, monkeypatch):
    """Bytes of states are counted; their number is that of a head, whatever the state has."""
    monkeypatch.setattr(pieces, "LONG", 2_000)
    written: list[int] = []
    put = SealedTransaction.write_heads

    def counted(self, table, items, before):
        rows = list(items)
        heads = [head for _, head in rows if isinstance(head, pieces.Head)]
        written.append(sum(len(h.to_bytes()) + sum(map(len, h.fresh.values())) for h in heads))
        put(self, table, rows, before)

    source = payments()
    average = {}
    with open_store(tmp_path / "repo", spend_of(source)) as fs:
        at = NOON - HOUR
        for rows in (500, 5_000):
            fs.push("pays", [pay(f"{rows}-{n}", at + n) for n in range(rows)], backdate=True)
            at += rows
            fs.push("pays", [pay("first", at)], backdate=True)  # the state is divided
            monkeypatch.setattr(SealedTransaction, "write_heads", counted)
            written.clear()
            for n in range(1, 200):
                fs.push("pays", [pay(f"{rows}-again-{n}", at + n)], backdate=True)
            at += 200
            average[rows] = sum(written) / len(written)
            monkeypatch.setattr(SealedTransaction, "write_heads", put)
        check_parity(fs, spend_of(source), cards("c1", "nobody"))
    assert average[500] > 0
    assert average[5_000] < 1.3 * average[500]

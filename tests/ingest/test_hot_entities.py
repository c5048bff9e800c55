"""Entities with very many rows: a push costs what it does elsewhere."""

import pytest

from skewless.errors import CorruptData
from skewless.state import pieces
from skewless.stores.online import sealed, sealing
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


SEALS = pytest.mark.parametrize("seals", [sealing, sealing.ByZlib], ids=["as_chosen", "zlib"])
"""With the compiled module where there is one, and without."""


@pytest.fixture
def with_seals(monkeypatch):
    def use(seals):
        for name in ("seal", "open_one", "open_all"):
            monkeypatch.setattr(sealed, name, getattr(seals, name))

    return use


@SEALS
def test_states_in_pieces_are_read_and_pushed_to_with_any_seal(
    tmp_path, monkeypatch, with_seals, seals
):
    monkeypatch.setattr(pieces, "LONG", 200)
    with_seals(seals)
    source, asked = payments(), cards("c1", "nobody", "c2")
    with open_store(tmp_path / "repo", spend_of(source)) as fs:
        for n in range(60):  # one row, and several
            rows = [pay(f"{n}-{m}", NOON - HOUR + 20 * n + m) for m in range(1 + n % 12)]
            fs.push("pays", [*rows, pay(f"{n}-other", NOON - HOUR, card="c2")], backdate=True)
        check_parity(fs, spend_of(source), asked)


@SEALS
def test_damage_among_many_states_is_an_error_with_any_seal(tmp_path, with_seals, seals):
    with_seals(seals)
    source = payments()
    with open_store(tmp_path / "repo", spend_of(source)) as fs:
        fs.push("pays", [pay(card, NOON - HOUR, card=card) for card in ("c1", "c2")], backdate=True)
        (part,) = fs.runtime.reader.lookup("Spend", False).parts
        store = fs.runtime.home.states.inner
        value = store.read_one(part.table, b"c2")
        store.write(part.table, [(b"c2", bytes([value[0] ^ 1]) + value[1:])])
        with pytest.raises(CorruptData, match="its checksum"):
            fs.get_online_features("Spend", cards("c1", "c2"))
        with pytest.raises(CorruptData, match="its checksum"):
            fs.push("pays", [pay("more", NOON, card="c2")])

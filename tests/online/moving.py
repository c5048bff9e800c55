"""A repo that moves to another online store."""

from pathlib import Path

from skewless.errors import StoreUnavailable
from tests.shop import HOUR, NOON, cards, open_store, pay, payments, spend_of

PAYS = payments(row_id="pay_id")
SPEND = spend_of(PAYS)
CARDS = [f"c{number}" for number in range(40)]
ROWS = [
    pay(f"p{number}", NOON - HOUR + number * 1_000_000, number / 7, card=CARDS[number % 40])
    for number in range(400)
]
LATER = [pay(f"later{number}", NOON - number, 2.5, card=CARDS[number]) for number in range(40)]


def sqlite(folder: Path) -> dict[str, object]:
    return {"kind": "sqlite", "path": str(folder / "next.sqlite")}


def refused(self, table, items):
    raise StoreUnavailable("the store is out of memory")


def values(fs):
    return fs.get_online_features("Spend", cards(*CARDS)).to_rows()


def moved(fs, folder, target, **online):
    """The same repo with ``target`` as its online store."""
    clock = fs.runtime.clock
    fs.close()
    return open_store(folder, clock=clock, online={"store": "next", **online}, stores=target)

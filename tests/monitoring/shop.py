"""A small shop of card payments, with a clock that stands still until it is set."""

import skewless as sl
from skewless.clock import SettableClock, to_micros

NOON = to_micros("2026-01-02T12:00:00Z")


def at(time, day=2):
    return f"2026-01-{day:02d}T{time}:00Z"


def pay(pay_id, time, amount=1.0, *, card="c1", day=2, known=None, city="Bonn"):
    """A payment, known when it happened unless told otherwise."""
    moment = at(time, day)
    seen = moment if known is None else at(known)
    return {
        "pay_id": pay_id, "card_id": card, "amount": amount, "city": city, "at": moment,
        "seen": seen,
    }  # fmt: skip


def payments(**options):
    schema = {"pay_id": str, "card_id": str, "amount": float, "city": str}
    options = {"known_time": "seen", "row_id": "pay_id"} | options
    return sl.Source("pays", schema=schema, event_time="at", **options)


CARD = sl.Entity("card", description="A payment card.", card_id=str)


def spend_of(pays, **labels):
    """A view with one feature of each kind, over some payments."""
    return sl.FeatureView(
        "Spend",
        entity=CARD,
        source=pays,
        features={
            "total_1h": pays.amount.sum("1h"),
            "last": pays.amount.latest(ttl="1d"),
            "city": pays.city.latest(),
            "big": pays.where(pays.amount > 5).count("24h"),
            "two": pays.amount.mean(last=2),
            "share": (pays.amount.max("1h") - pays.amount.min("1h")) / pays.amount.sum("1h"),
        },
        **{"description": "How much a card spends.", "owner": "risk"} | labels,
    )


def store(tmp_path, *definitions, clock=None, build=None):
    """A feature store in an empty folder with some definitions applied."""
    tmp_path.mkdir(exist_ok=True)
    fs = sl.FeatureStore(tmp_path, clock=clock or SettableClock(NOON))
    fs.apply(fs.plan(*definitions), build=build)
    return fs

"""SYNTHETIC card payments, made up by a random generator; no bank was asked.

payments, frauds = history(end, cards=150, days=40)
"""

import random
from datetime import datetime, timedelta
from typing import Any

Payment = dict[str, Any]
COUNTRIES = ("DE", "DE", "DE", "DE", "AT", "FR", "US")
KINDS = ("food", "fuel", "rent", "travel", "games", "phone")
BURST = 12
"""Payments of a thief who has a card: small ones to try it, then larger ones, within hours."""


def history(
    end: datetime, cards: int, days: int, seed: int = 11
) -> tuple[list[Payment], dict[str, bool]]:
    """Return payments before `end`, by event time, and for each payment whether it was fraud."""
    rng = random.Random(seed)
    start = end - timedelta(days=days)
    found: list[tuple[Payment, bool]] = []
    for number in range(cards):
        card_id = f"c{number:04}"
        at, usual = start + timedelta(hours=rng.random() * 24), rng.uniform(10, 60)
        away = start + timedelta(days=rng.uniform(5, 2 * days))
        while at < end:
            abroad = away <= at < away + timedelta(days=6)
            found.append((payment(rng, card_id, at, usual, "US" if abroad else None), False))
            spree = rng.random() < 0.08  # one shop after the other
            at += timedelta(minutes=rng.uniform(2, 12) if spree else rng.expovariate(1 / 900))
        if rng.random() < 0.35:
            stolen = start + timedelta(days=rng.uniform(7, days))
            found += [(p, True) for p in theft(rng, card_id, stolen, usual) if p["paid_at"] < end]
    found.sort(key=lambda each: each[0]["paid_at"])
    for number, (each, _) in enumerate(found):
        each["payment_id"] = f"p{number:06}"
    return [each for each, _ in found], {each["payment_id"]: fraud for each, fraud in found}


def payment(
    rng: random.Random, card_id: str, at: datetime, usual: float, country: str | None = None
) -> Payment:
    """One payment of the card's owner; some are booked hours later."""
    slow = rng.random() < 0.15
    return {
        "card_id": card_id,
        "amount": round(rng.lognormvariate(0, 0.7) * usual, 2),
        "country": country or rng.choice(COUNTRIES),
        "kind": rng.choice(KINDS),
        "declined": rng.random() < 0.02,
        "paid_at": at,
        "booked_at": at + timedelta(minutes=rng.uniform(90, 600) if slow else rng.uniform(0, 1)),
    }


def theft(rng: random.Random, card_id: str, at: datetime, usual: float) -> list[Payment]:
    """The payments of a thief: abroad, one after the other, ever larger, sometimes declined."""
    made = []
    for number in range(rng.randint(BURST // 2, BURST)):
        at += timedelta(minutes=rng.uniform(1, 25))
        one = payment(rng, card_id, at, usual)
        one["amount"] = round(rng.uniform(2, 9) * (1 + number) ** 1.2, 2)
        one["country"] = rng.choice(("US", "FR", "DE", "RO"))
        one["declined"] = rng.random() < 0.2
        made.append(one)
    return made


def replayed(end: datetime, seed: int = 12) -> tuple[list[Payment], dict[str, bool]]:
    """Return one day of payments after `end`, one card stolen in it."""
    rng = random.Random(seed)
    made = [
        (payment(rng, f"c{rng.randrange(150):04}", end + timedelta(minutes=6 * n), 30.0), False)
        for n in range(1, 240)
    ]
    made += [(each, True) for each in theft(rng, "c0007", end + timedelta(hours=14), 30.0)]
    made.sort(key=lambda each: each[0]["paid_at"])
    for number, (each, _) in enumerate(made):
        each["payment_id"] = f"r{number:06}"
        each["booked_at"] = each["paid_at"] + timedelta(seconds=2)
    return [each for each, _ in made], {each["payment_id"]: fraud for each, fraud in made}

"""A shop whose cards have one payment each: the total of a card is what it paid."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import skewless as sl
from skewless.clock import iso
from skewless.serving.app import App
from skewless.serving.settings import Settings
from skewless.testing.clock import SettableClock
from tests.serving.calling import call
from tests.shop import CARD, MINUTE, open_store, pay, payments


def spend_of(pays: sl.Source, **labels: Any) -> sl.FeatureView:
    """A view with a feature of each type that is compared."""
    features = {
        "total": pays.amount.latest(),
        "city": pays.city.latest(),
        "n": pays.n.latest(),
        "last": pays.city.last_n(2, last=1),
    }
    return sl.FeatureView("Spend", entity=CARD, source=pays, features=features, **labels)


def store(folder: Path, *, clock: SettableClock | None = None, **labels: Any) -> sl.FeatureStore:
    spend = spend_of(payments(row_id="pay_id"), **labels)
    return open_store(folder, spend, sl.FeatureService("fraud", [spend]), clock=clock, build=True)


def push_amounts(
    fs: sl.FeatureStore, amounts: Iterable[float | None], city: str = "Bonn", n: int = 1
) -> None:
    """Push a payment of each card: ``c1`` pays the first amount."""
    now = fs.runtime.clock.now()
    fs.push(
        "pays",
        [
            pay(f"p{number}-{now}", now - MINUTE, amount, card=f"c{number}", city=city, n=n)
            for number, amount in enumerate(amounts, 1)
        ],
    )


def service(fs: sl.FeatureStore, cards: int) -> sl.TrainingSet:
    """A training set of so many cards, as of now."""
    now = iso(fs.runtime.clock.now())
    spine = [{"card_id": f"c{number}", "t": now} for number in range(1, cards + 1)]
    return fs.get_historical_features(spine, "fraud", timestamp="t")


def serve(fs: sl.FeatureStore, cards: Iterable[str]) -> Path:
    """Have a server answer for cards, one by one, with a served log; return its folder."""
    app = App(fs, Settings(served_log=1.0))
    app.start()
    for card in cards:
        answer = call(
            app, "POST", "/v1/features", {"service": "fraud", "entities": [{"card_id": card}]}
        )
        assert answer.status == 200
    app.upkeep.work()
    return fs.config.folder / ".skewless" / "served"

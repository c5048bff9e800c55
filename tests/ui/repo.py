"""A repo with a history worth explaining, and the catalogue of it without a network."""

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

import skewless as sl
from skewless.clock import from_micros, to_micros
from skewless.serving.app import App
from skewless.serving.settings import Settings
from skewless.testing.clock import SettableClock

NOON = to_micros("2026-01-02T12:00:00Z")
MINUTE, HOUR = 60_000_000, 3_600_000_000

CARD = sl.Entity("card", card_id=sl.Column(str, "the number on the card", pii="direct"))
PAYS = sl.Source(
    "pays",
    schema={
        "pay_id": str,
        "card_id": str,
        "amount": sl.Column(float, "what was paid", unit="EUR", between=(0, 10_000)),
        "city": str,
    },
    event_time="paid_at",
    row_id="pay_id",
    owner="payments",
    checks=[sl.Check.between("amount", 0, 50), sl.Check.not_null("city")],
    description="Payments by card.",
)
AMOUNT = sl.Request("asked_amount", float)


def definitions() -> list[Any]:
    """A view with windows, filters and a derived feature, an on-demand view, a service."""
    spend = sl.FeatureView(
        "Spend",
        entity=CARD,
        source=PAYS,
        features={
            "total": PAYS.amount.sum("1h", "24h"),
            "big": PAYS.where(PAYS.amount > 50).count("24h").describe("large payments", unit="1"),
            "last_3": PAYS.amount.mean(last=3),
            "city": PAYS.city.latest(),
            "share": PAYS.amount.max("24h") / PAYS.amount.sum("24h"),
        },
        owner="fraud",
        description="What a card spends.",
        freshness="1h",
        tags={"domain": "fraud"},
    )
    quiet = sl.FeatureView(
        "Quiet", entity=CARD, source=PAYS, features={"biggest": PAYS.amount.max("7d")}
    )
    asked = sl.OnDemandView("Asked", features={"ratio": AMOUNT / spend.total_24h})
    model = sl.FeatureService("fraud_model", [spend, asked.ratio], owner="fraud")
    return [spend, quiet, asked, model]


def pay(number: int, at: int, amount: float, city: str = "Bonn", card: str = "c1") -> dict:
    return {
        "pay_id": f"p{number}", "card_id": card, "amount": amount, "city": city,
        "paid_at": from_micros(at),
    }  # fmt: skip


def filled(folder: Any) -> tuple[sl.FeatureStore, SettableClock]:
    """Payments of two cards: one is late, one corrected; and a row that was refused."""
    clock = SettableClock(NOON - 30 * HOUR)
    fs = sl.FeatureStore(folder, clock=clock)
    fs.apply(definitions())
    fs.push("pays", [pay(0, NOON - 30 * HOUR, 7.0)])
    for number, hours, amount in ((1, 20, 10.0), (2, 6, 60.0), (3, 3, 5.0)):
        clock.time = NOON - hours * HOUR
        fs.push("pays", [pay(number, NOON - hours * HOUR, amount)])
    clock.time = NOON - 2 * HOUR
    fs.push(
        "pays", [pay(2, NOON - 6 * HOUR, 66.0, "Köln"), pay(9, NOON - 2 * HOUR, 1.0, card="c2")]
    )
    clock.time = NOON - HOUR
    serve(fs)
    clock.time = NOON
    fs.push("pays", [pay(4, NOON - 4 * HOUR, 4.0), {**pay(5, NOON, 2.0), "amount": "a lot"}])
    clock.time = NOON + MINUTE
    spine = [{"card_id": "c1", "at": from_micros(NOON - HOUR), "asked_amount": 3.0}]
    made = fs.get_historical_features(spine, "fraud_model", timestamp="at")
    fs.log_model("fraud_net", made)
    fs.check()
    return fs, clock


def serve(fs: sl.FeatureStore) -> None:
    """Answer two requests, and keep a log of it."""
    app = App(fs, Settings(served_log=1.0))
    app.start()
    for name, card in (("r1", "c1"), ("r2", "c2")):
        entities = [{"card_id": card, "asked_amount": 3.0}]
        body = {"service": "fraud_model", "entities": entities}
        headers = {b"x-request-id": name.encode()}
        assert app.at_once(b"/v1/features", headers, json.dumps(body).encode()) is not None
    app.upkeep.work()


class Document(HTMLParser):
    """The elements of a page: names with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def links(self) -> Iterator[str]:
        for tag, given in self.elements:
            for name in ("href", "src", "action", "data-load"):
                if tag != "base" and given.get(name):
                    yield str(given[name])


def crawl(client: Any, start: str = "/", most: int = 400) -> dict[str, Any]:
    """Follow every link of every page; address to answer."""
    found: dict[str, Any] = {}
    waiting = [start]
    while waiting and len(found) < most:
        address = waiting.pop(0)
        if address in found:
            continue
        answer = found[address] = client.get(address)
        if answer.headers["content-type"].startswith("text/html"):
            for link in Document(answer.text).links():
                target = urldefrag(urljoin(address, link)).url
                assert not urlsplit(target).netloc, f"{address} leads elsewhere: {target}"
                waiting.append(target)
    return found

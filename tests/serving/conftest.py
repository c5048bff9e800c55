"""A small shop to serve: views of every kind, rows pushed, a clock that stands still."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

import skewless as sl
from skewless.serving.app import App
from skewless.serving.settings import Settings
from skewless.testing.clock import SettableClock
from tests.serving.calling import Running, serving

NOW = 1_767_261_600_000_000  # 2026-01-01T10:00:00Z
DEFINITIONS = '''
import skewless as sl
from datetime import datetime

card = sl.Entity("card", card_id=str)
trip = sl.Entity("trip", driver=int, code=bytes)
payments = sl.Source(
    "payments",
    schema={"payment_id": str, "card_id": str, "amount": float, "country": str,
            "seen": datetime, "picture": bytes, "ok": bool},
    event_time="paid_at", row_id="payment_id",
)
trips = sl.Source("trips", schema={"driver": int, "code": bytes, "km": float}, event_time="at")


@sl.feature_view(entity=card, source=payments, owner="risk", freshness="1h")
class Spend:
    """What was spent."""
    total = payments.amount.sum("1h")
    count = payments.count("1h")
    mean = payments.amount.mean("24h")


@sl.feature_view(entity=card, source=payments)
class Newest:
    values = payments.latest("payment_id", "amount", "country", "seen", "picture", "ok")


@sl.feature_view(entity=trip, source=trips)
class Trip:
    km = trips.km.latest(ttl="1h")


amount = sl.Request("asked", float)


@sl.on_demand
class Payment:
    ratio = amount / Spend.mean


fraud = sl.FeatureService("fraud", [Spend])
newest = sl.FeatureService("newest", [Newest, Payment])
'''


def payment(number: int, card: str, amount: float, minutes_ago: float, **more: object) -> dict:
    """A payment of the shop."""
    at = datetime.fromtimestamp((NOW / 1e6) - minutes_ago * 60, UTC)
    row = {
        "payment_id": f"p{number}", "card_id": card, "amount": amount, "country": "DE",
        "seen": at, "picture": b"\x00\xff", "ok": True, "paid_at": at,
    }  # fmt: skip
    return row | more


ROWS = [
    payment(1, "c1", 10.0, 50),
    payment(2, "c1", 2.5, 20),
    payment(3, "c1", 0.25, 90),
    payment(4, "c2", float("inf"), 5, country="null"),
    payment(5, "c3", 7.0, 5, country=None),
    payment(6, "c4", 8.0, 300),
]


@pytest.fixture(scope="session")
def filled_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serving") / "shop"
    folder.mkdir()
    (folder / "features.py").write_text(DEFINITIONS)
    with sl.FeatureStore(folder, clock=SettableClock(NOW)) as fs:
        fs.apply(fs.plan())
        fs.push("payments", ROWS, backdate=True)
        at = datetime.fromtimestamp(NOW / 1e6 - 60, UTC)
        fs.push("trips", [{"driver": 7, "code": b"\x01", "km": 3.5, "at": at}], backdate=True)
    return folder


@pytest.fixture
def repo(filled_shop: Path, tmp_path: Path) -> Path:
    """A copy of its own of the shop."""
    return Path(shutil.copytree(filled_shop, tmp_path / "shop"))


@pytest.fixture
def two(repo: Path, tmp_path: Path) -> Iterator[Running]:
    """A server with two workers, a writer and a process of large reads."""
    with serving(repo, tmp_path, "--workers", "2") as running:
        yield running


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock(NOW)


@pytest.fixture
def store(repo: Path, clock: SettableClock) -> sl.FeatureStore:
    with sl.FeatureStore(repo, clock=clock) as fs:
        yield fs


@pytest.fixture
def app(store: sl.FeatureStore) -> App:
    """The application, started, without a socket."""
    made = App(store, Settings())
    made.start()
    return made

"""What plugs in is one file: an aggregation, a store and a stream, each written here and used.

The file is a module of its own; an entry point names what it has, as that of an installed package does.
"""

import functools
import importlib.metadata
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from statistics import harmonic_mean

import pytest

import skewless as sl
from skewless.aggregations import AGGREGATIONS
from skewless.clock import from_micros
from skewless.ingest.stream.worker import StreamWorker
from skewless.plugins import find
from skewless.stores.online.base import OnlineStore
from skewless.testing.clock import SettableClock
from skewless.testing.online_store import OnlineStoreSuite

NOON, MINUTE = 1_767_268_800_000_000, 60_000_000

AGGREGATION = '''
"""The harmonic mean of positive numbers, after any power of them."""

from dataclasses import dataclass
from typing import ClassVar

from skewless.aggregations.base import Aggregation
from skewless.types import Float64


@dataclass(frozen=True)
class HarmonicMean(Aggregation):
    """The reciprocal of the mean of reciprocals: the kernels' mean of encoded values."""

    name: ClassVar[str] = "harmonic_mean"
    number: ClassVar[str] = "mean"
    power: int = 1

    def result_type(self, column):
        return Float64

    def compute(self, values, events, t, window):
        from fractions import Fraction

        if not all(values):
            return None
        total = sum(Fraction(1.0 / float(value) ** self.power) for value in values)
        return 1.0 / float(total / len(values)) if total else None

    def encode(self, values):
        return 1.0 / values.astype("float64") ** self.power

    def finish(self, number, window):
        return 1.0 / number
'''

STORE = '''
"""An online store of one file a row."""

import os
import threading
from hashlib import sha256
from pathlib import Path

from skewless.stores.online.base import Capabilities, OnlineStore, checked_table


class FolderStore(OnlineStore):
    capabilities = Capabilities(shared_by_processes=True, verified=True)

    def __init__(self, path):
        self.where = str(path)
        self._root, self._closed = Path(path), False
        self._root.mkdir(parents=True, exist_ok=True)

    def _file(self, table, key=None):
        if self._closed:
            raise self.closed()
        folder = self._root / sha256(checked_table(table).encode()).hexdigest()
        return folder if key is None else folder / (sha256(key).hexdigest() + ".row")

    def _load(self, file):
        try:
            data = file.read_bytes()
        except FileNotFoundError:
            return None
        size = int.from_bytes(data[:4], "big") + 4
        return data[4:size], data[size:]

    def read(self, table, keys):
        return [row and row[1] for row in (self._load(self._file(table, key)) for key in keys)]

    def _put(self, file, head, value):
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f"{os.getpid()}.{threading.get_ident()}.part")
        part.write_bytes(len(head).to_bytes(4, "big") + head + value)
        part.replace(file)

    def write(self, table, items):
        for key, value in items:
            self._put(self._file(table, key), bytes(key), bytes(value))
            self._put(self._file(table) / "name", table.encode(), b"")

    def delete(self, table, keys):
        for key in keys:
            self._file(table, key).unlink(missing_ok=True)

    def page(self, table, prefix, after, limit):
        rows = [row for row in map(self._load, self._file(table).glob("*.row")) if row]
        rows = [r for r in rows if r[0].startswith(prefix) and (after is None or r[0] > after)]
        return sorted(rows)[:limit]

    def tables(self):
        if self._closed:
            raise self.closed()
        return sorted(self._load(name)[0].decode() for name in self._root.glob("*/name"))

    def drop(self, table):
        (self._file(table) / "name").unlink(missing_ok=True)
        for file in self._file(table).glob("*.row"):
            file.unlink(missing_ok=True)

    def close(self):
        self._closed = True
'''

STREAM = '''
"""A stream of numbers, each a second after the one before."""

from skewless.clock import from_micros
from skewless.definitions.tables import Stream
from skewless.streams.base import Batch, StreamReader


class Count(Stream):
    kind = "count"

    def __init__(self, up_to, start):
        super().__init__(up_to=up_to, start=start)


class CountReader(StreamReader):
    lag_unit = "messages"

    @property
    def name(self):
        return "count"

    def open(self, position, *, start="earliest"):
        self._at = int(position or b"0")

    def read(self, max_rows, timeout):
        first, options = self._at, self.stream.options
        self._at = min(first + max_rows, options["up_to"])
        rows = [
            {"k": "a", "n": n, "at": from_micros(options["start"] + n * 1_000_000)}
            for n in range(first, self._at)
        ]
        return Batch(rows, b"%d" % self._at, origin=lambda row: f"count@{first + row}")

    def lag(self):
        return self.stream.options["up_to"] - self._at

    def describe(self, position):
        return {"numbers": int(position)}

    def close(self):
        pass
'''


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Return what writes a module and installs it under an entry point."""
    points: list[EntryPoint] = []
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(
        importlib.metadata,
        "entry_points",
        lambda group: [point for point in points if point.group == group],
    )

    def write(module: str, text: str, group: str, kind: str, name: str) -> None:
        (tmp_path / f"{module}.py").write_text(text)
        points.append(EntryPoint(kind, f"{module}:{name}", f"skewless.{group}"))

    yield write
    for point in points:
        sys.modules.pop(point.value.partition(":")[0], None)


@pytest.fixture
def harmonic(plug_in: Callable[..., None]) -> Iterator[None]:
    plug_in("harmonic_file", AGGREGATION, "aggregation", "harmonic_mean", "HarmonicMean")
    yield
    AGGREGATIONS.pop("harmonic_mean", None)


def test_an_aggregation_is_one_file(harmonic: None, tmp_path: Path) -> None:
    card = sl.Entity("card", card_id=str)
    pays = sl.Source("pays", schema={"card_id": str, "amount": float}, event_time="at")
    view = sl.FeatureView(
        "Spend",
        entity=card,
        source=pays,
        features={
            "hour": pays.amount.harmonic_mean("1h"),
            "ever": pays.amount.harmonic_mean(sl.lifetime()),
            "squares": pays.amount.harmonic_mean("1h", power=2, default=-1.0),
        },
    )
    amounts = [3.0, 7.0, 0.1, 12.5]
    rows = [
        {"card_id": "c", "amount": amount, "at": from_micros(NOON - (20 * n + 1) * MINUTE)}
        for n, amount in enumerate(amounts)
    ]
    with sl.FeatureStore(tmp_path, clock=SettableClock(NOON)) as fs:
        fs.apply(fs.plan(view))
        fs.push("pays", rows, backdate=True)
    del AGGREGATIONS["harmonic_mean"]
    sys.modules.pop("harmonic_file")
    # Another process knows the name from the registry alone, and the class by its entry point.
    with sl.FeatureStore(tmp_path, clock=SettableClock(NOON)) as fs:
        online = fs.get_online_features("Spend", [{"card_id": "c"}]).to_rows()[0]
        spine = [{"card_id": "c", "at": from_micros(NOON)}]
        trained = fs.get_historical_features(spine, "Spend", timestamp="at").to_dict()
    assert online["hour"] == trained["hour"][0] == pytest.approx(harmonic_mean(amounts[:3]))
    assert online["ever"] == trained["ever"][0] == pytest.approx(harmonic_mean(amounts))
    squares = pytest.approx(harmonic_mean([amount**2 for amount in amounts[:3]]))
    assert online["squares"] == trained["squares"][0] == squares


def test_a_name_that_nothing_has_is_still_told_with_the_nearest(harmonic: None) -> None:
    pays = sl.Source("pays", schema={"amount": float}, event_time="at")
    with pytest.raises(AttributeError, match="no method 'men'"):
        pays.amount.men("1h")
    with pytest.raises(sl.errors.UnknownName, match="no option 'pover'"):
        pays.amount.harmonic_mean("1h", pover=2)


def test_a_stream_is_one_file(plug_in: Callable[..., None], tmp_path: Path) -> None:
    plug_in("count_file", STREAM, "stream", "count", "CountReader")
    find("stream", "count")
    stream = sys.modules["count_file"].Count(100, NOON - 200 * 1_000_000)
    numbers = sl.Source("numbers", schema={"k": str, "n": int}, event_time="at", stream=stream)
    entity = sl.Entity("key", k=str)
    features = {"sum": numbers.n.sum("1h"), "count": numbers.count("1h")}
    view = sl.FeatureView("Numbers", entity=entity, source=numbers, features=features)
    with sl.FeatureStore(tmp_path, clock=SettableClock(NOON)) as fs:
        fs.apply(fs.plan(view))
        StreamWorker(fs.runtime, "numbers", max_rows=30).run(once=True)
        found = fs.get_online_features("Numbers", [{"k": "a"}]).to_rows()[0]
    assert (found["sum"], found["count"]) == (sum(range(100)), 100)


@pytest.mark.slow
class TestFolderStore(OnlineStoreSuite):
    """A store is one file, and passes the suite that ships."""

    @pytest.fixture
    def open_store(self, tmp_path: Path) -> Iterator[Callable[[], OnlineStore]]:
        (tmp_path / "folder_file.py").write_text(STORE)
        sys.path.insert(0, str(tmp_path))
        try:
            from folder_file import FolderStore

            yield functools.partial(FolderStore, tmp_path / "store")
        finally:
            sys.path.remove(str(tmp_path))
            sys.modules.pop("folder_file", None)

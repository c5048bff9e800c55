"""Bits flip anywhere: every answer is right or an error, never another value.

Each trial damages one bit of a store, then a child reads online and from history, pushes, deletes a
row by its id and reads again. No damage ends a child by a signal.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import skewless as sl
from skewless.errors import SkewlessError, StoreError
from skewless.stores.online.base import OnlineStore

START = datetime(2026, 1, 1, tzinfo=UTC)
CARDS = [f"card {number}" for number in range(12)]
CHILD_SECONDS = 60
RIGHT, ERROR, SILENT = "right", "error", "SILENT"
Answer = dict[str, list[object]]

card = sl.Entity("card", card_id=str)
payments = sl.Source(
    "payments",
    schema={"pid": str, "card_id": str, "amount": float, "place": str},
    event_time="at",
    row_id="pid",
)


@sl.feature_view(entity=card, source=payments)
class Spend:
    """All that a card paid."""

    n = payments.count(sl.lifetime())
    total = payments.amount.sum(sl.lifetime())
    most = payments.amount.max("3650d")
    place = payments.place.latest()


def rows(first: int, count: int) -> list[dict[str, object]]:
    return [
        {
            "pid": f"p{number}",
            "card_id": CARDS[number % len(CARDS)],
            "amount": 1234.5 + number,
            "place": f"place {number}",
            "at": START + timedelta(minutes=number),
        }
        for number in range(first, first + count)
    ]


def online(store: sl.FeatureStore) -> Answer:
    found = store.get_online_features("Spend", [{"card_id": each} for each in CARDS])
    return found.to_dict()


def offline(store: sl.FeatureStore) -> Answer:
    spine = [{"card_id": each, "t": datetime.now(UTC)} for each in CARDS]
    found = store.get_historical_features(spine, "Spend", timestamp="t").to_dict()
    return {name: found[name] for name in ("n", "total", "most", "place")}


def push_again(store: sl.FeatureStore) -> None:
    store.push("payments", [*rows(30, 12), *rows(72, 12)], backdate=True)  # the first are known


def delete(store: sl.FeatureStore) -> None:
    store.delete("payments", ["p5", "p50"])


STEPS: list[Callable[[sl.FeatureStore], Answer | None]] = [
    online,
    offline,
    push_again,
    online,
    delete,
    online,
    offline,
]


def answers(folder: Path) -> Iterator[Answer | None]:
    with sl.FeatureStore(folder) as store:
        for step in STEPS:
            yield step(store)


def outcome(folder: Path, expected: list[Answer | None]) -> str:
    """Take all steps in a child; say whether it was right, an error, or wrong without one."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(CHILD_SECONDS)
        code = 3
        try:
            code = _judged(folder, expected)
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code == -signal.SIGALRM:
        return "hung"
    if code < 0:
        return "ended by a signal"
    return (RIGHT, ERROR, SILENT, "crashed")[code]


def _judged(folder: Path, expected: list[Answer | None]) -> int:
    try:
        for found, right in zip(answers(folder), expected, strict=True):
            if found is not None and {name: found[name] for name in right or {}} != right:
                return 2
    except SkewlessError:
        return 1
    return 0


@pytest.fixture(params=["lmdb", "sqlite"])
def kind(request: pytest.FixtureRequest) -> str:
    """Give a kind of store."""
    return str(request.param)


@pytest.fixture
def folder(tmp_path: Path, kind: str) -> Path:
    """Give a repo with states, settled rows of the log and others in the journal."""
    folder = tmp_path / "whole"
    folder.mkdir()
    (folder / "skewless.toml").write_text(
        f'[online]\nkind = "{kind}"\npath = ".skewless/online{kind}"\n'
    )
    with sl.FeatureStore(folder) as store:
        store.apply([Spend])
        store.push("payments", rows(0, 36), backdate=True)
        store.compact()
        store.push("payments", rows(36, 36), backdate=True)
    return folder


def expected_of(folder: Path) -> list[Answer | None]:
    """Return the right answers, taken from a copy."""
    copy = folder.parent / "right"
    shutil.copytree(folder, copy)
    return list(answers(copy))


def trials(
    folder: Path, expected: list[Answer | None], damages: Iterator[Callable[[Path], None]]
) -> Counter[str]:
    """Return how many copies with one damage each came out how."""
    found: Counter[str] = Counter()
    for number, damage in enumerate(damages):
        copy = folder.parent / f"damaged {number}"
        shutil.copytree(folder, copy)
        damage(copy)
        found[outcome(copy, expected)] += 1
        shutil.rmtree(copy)
    return found


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def in_use(path: Path) -> list[int]:
    """Return the positions of a file's bytes but for long runs of zeros: pages not written."""
    data = path.read_bytes()
    return [at for at in range(len(data)) if data[max(0, at - 16) : at + 16].strip(b"\0")]


@pytest.mark.parametrize("kind", [pytest.param("lmdb"), pytest.param("sqlite")], indirect=True)
def test_a_flipped_bit_in_the_file_of_the_store(folder: Path, kind: str) -> None:
    expected = expected_of(folder)
    (name,) = [
        path.relative_to(folder)
        for path in (folder / ".skewless").rglob("*")
        if path.name in {"data.mdb", "onlinesqlite"}
    ]
    places, chance = in_use(folder / name), random.Random(1)

    def damages() -> Iterator[Callable[[Path], None]]:
        for _ in range(int(os.environ.get("SKEWLESS_FLIPS", "40"))):
            bit = 8 * chance.choice(places) + chance.randrange(8)
            yield lambda copy, bit=bit: flip(copy / name, bit)

    found = trials(folder, expected, damages())
    assert set(found) <= {RIGHT, ERROR}, found
    assert found[ERROR] > 0


@pytest.mark.parametrize("kind", ["lmdb"], indirect=True)
def test_a_flipped_bit_in_a_settled_file_of_the_log(folder: Path) -> None:
    expected = expected_of(folder)
    names = [path.relative_to(folder) for path in (folder / ".skewless").rglob("*.parquet")]
    chance = random.Random(2)

    def damages() -> Iterator[Callable[[Path], None]]:
        for _ in range(int(os.environ.get("SKEWLESS_FLIPS", "30"))):
            name = chance.choice(names)
            data = (folder / name).read_bytes()
            footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
            bit = chance.randrange(8 * chance.choice([0, footer]), 8 * len(data))
            yield lambda copy, name=name, bit=bit: flip(copy / name, bit)

    found = trials(folder, expected, damages())
    assert set(found) == {ERROR}, found


@pytest.mark.parametrize("kind", ["lmdb"], indirect=True)
def test_a_settled_file_that_changes_after_it_was_read_is_looked_at_again(folder: Path) -> None:
    (name, *_) = sorted(folder.rglob("*.parquet"))
    with sl.FeatureStore(folder) as store:
        before = offline(store)
        flip(name, 8 * (name.stat().st_size - 20))
        with pytest.raises(sl.CorruptData, match=r"checksum.*Restore this file"):
            offline(store)
        flip(name, 8 * (name.stat().st_size - 20))
        assert offline(store) == before


@pytest.mark.parametrize("kind", ["lmdb"], indirect=True)
def test_a_flipped_bit_in_any_row_of_states_journal_ids_and_records(folder: Path) -> None:
    expected, chance = expected_of(folder), random.Random(3)
    with sl.FeatureStore(folder) as store:
        home = store.runtime.home
        inner = home.states.inner  # type: ignore[attr-defined]
        every = [(table, key) for table in inner.tables() for key, _ in inner.scan(table)]
    by_table = {table: [key for name, key in every if name == table] for table, _ in every}
    kinds = {table.partition(".")[0] for table in by_table}
    assert {"log", "ids", "payments", "skewless"} <= kinds

    def flip_row(folder: Path, table: str, key: bytes) -> None:
        with sl.FeatureStore(folder) as store:
            inner: OnlineStore = store.runtime.home.states.inner  # type: ignore[attr-defined]
            value = bytearray(inner.read_one(table, key) or b"")
            bit = chance.randrange(8 * len(value))
            value[bit // 8] ^= 1 << bit % 8
            inner.write(table, [(key, bytes(value))])
            damaged = [str(damage) for damage in store.runtime.home.states.damages()]  # type: ignore[attr-defined]
            assert damaged == [f"the row of key {key!r} in table {table!r} ({inner.where})"]

    def damages() -> Iterator[Callable[[Path], None]]:
        for table, keys in by_table.items():
            for key in chance.sample(keys, min(3, len(keys))):
                yield lambda copy, table=table, key=key: flip_row(copy, table, key)

    found = trials(folder, expected, damages())
    assert set(found) <= {RIGHT, ERROR}, found
    assert found[ERROR] > found[RIGHT]


@pytest.mark.parametrize("kind", ["lmdb"], indirect=True)
def test_verify_and_doctor_name_what_is_damaged(folder: Path) -> None:
    from skewless.cli.doctor import examine

    with sl.FeatureStore(folder) as store:
        assert store.verify().ok
        (table,) = store.runtime.tables().tables
        inner: OnlineStore = store.runtime.home.states.inner  # type: ignore[attr-defined]
        ((key, value),) = inner.scan(table, limit=1)
        inner.write(table, [(key, value[:-1] + bytes([value[-1] ^ 1]))])
        report = store.verify()
        assert (report.ok, report.values.total()) == (False, 0)
        assert "1 DAMAGED places, so nothing was compared" in str(report)
        assert f"the row of key {key!r} in table {table!r}" in str(report)
    (file,) = [path for path in folder.rglob("*.parquet")][:1]
    flip(file, 8 * 40)
    found = [finding for finding in examine(str(folder), deep=True) if finding.check == "bytes"]
    assert [finding.status for finding in found] == ["fail", "fail"]
    assert repr(key) in found[0].text
    assert file.name in found[1].text
    assert not [each for each in examine(str(folder)) if each.check == "bytes"]


@pytest.mark.parametrize("kind", ["lmdb"], indirect=True)
def test_a_server_of_a_damaged_store_ends_with_an_error_that_names_the_remedy(folder: Path) -> None:
    (file,) = folder.rglob("data.mdb")
    whole, metas = file.read_bytes(), 2 * 4096
    file.write_bytes(whole[:metas] + bytes(len(whole) - metas))
    command = [sys.executable, "-m", "skewless.cli.main", "serve", "--repo", str(folder)]
    ended = subprocess.run(
        [*command, "--port", "0", "--workers", "2"],
        capture_output=True, text=True, timeout=CHILD_SECONDS, check=False,
    )  # fmt: skip
    assert ended.returncode > 0  # no signal
    assert "the file of the online store is damaged" in ended.stderr
    assert "Restore a copy" in ended.stderr


def test_an_error_of_damage_is_one_of_stores() -> None:
    assert issubclass(sl.CorruptData, StoreError)

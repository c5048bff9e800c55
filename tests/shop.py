"""A shop of card payments for tests of jobs, and the oracle to hold every path against."""

import random
import struct
from datetime import datetime

import skewless as sl
from skewless.clock import ALWAYS, from_micros, to_micros
from skewless.config import Config
from skewless.engines.reference import HistoryRow, view_values
from skewless.stores.offline.log.journal import DELETED
from skewless.testing.clock import SettableClock

NOON = to_micros("2026-01-02T12:00:00Z")
SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
CARD = sl.Entity("card", card_id=str)
SCHEMA = {"pay_id": str, "card_id": str, "amount": float, "n": int, "city": str}


def payments(**options):
    return sl.Source("pays", schema=SCHEMA, event_time="at", **options)


def spend_of(pays, name="Spend", **features):
    """A view with a feature of every way through the packed state."""
    return sl.FeatureView(
        name,
        entity=CARD,
        source=pays,
        features=features
        or {
            "total_1h": pays.amount.sum("1h"),
            "count_1d": pays.count("1d"),
            "mean_3": pays.amount.mean(last=3),
            "words": pays.city.last_n(2, last=4),
            "city": pays.city.latest(),
            "fresh": pays.amount.latest(ttl="30m"),
            "biggest": pays.amount.max(sl.lifetime()),
            "sum_n": pays.n.sum(sl.lifetime()),
            "cities": pays.city.n_unique("1d"),
            "visit": pays.n.count(sl.session("10m")),
            "hour": pays.amount.mean(sl.tumbling("1h")),
            "big": pays.where(pays.amount > 5).count("1d"),
            "share": pays.amount.max("1h") / pays.amount.sum("1h"),
        },
    )


def pay(pay_id, at, amount=1.0, *, card="c1", n=1, city="Bonn", **more):
    """A payment ``at`` microseconds, a number or a time of day."""
    moment = from_micros(at) if isinstance(at, int) else at
    return {
        "pay_id": pay_id, "card_id": card, "amount": amount, "n": n, "city": city, "at": moment,
    } | more  # fmt: skip


def cards(*names):
    return [{"card_id": name} for name in names]


ALL = cards("c1", "c2", "c3", "nobody")


def random_rows(seed, count, *, cards=3, start=NOON - 2 * DAY, end=NOON, first=0):
    """Rows in any order, with ties and nulls."""
    chance = random.Random(seed)
    return [
        pay(
            f"p{first + number}",
            chance.randrange(start, end, MINUTE),
            chance.choice([None, 0.1, 1e15, -0.0, chance.uniform(-9, 9)]),
            card=f"c{chance.randint(1, cards)}",
            n=chance.choice([None, chance.randint(-5, 5)]),
            city=chance.choice(["Bonn", "Köln", None]),
        )
        for number in range(count)
    ]


def open_store(folder, *definitions, clock=None, using=None, build=False, **settings):
    """A feature store in a folder, with some definitions applied; history is not read yet."""
    folder.mkdir(exist_ok=True, parents=True)
    clock = SettableClock(NOON) if clock is None else clock
    fs = sl.FeatureStore(Config.of(folder, settings), clock=clock, online=using)
    if definitions:
        fs.apply(fs.plan(*definitions), build=build)
    return fs


def bits(value):
    """A value by which 0.0 and -0.0, and 1 and 1.0, are told apart."""
    if isinstance(value, float):
        return struct.pack("<d", value)
    if isinstance(value, (list, tuple)):
        return [bits(item) for item in value]
    return type(value).__name__, str(value)


def rows_of(fs, source_name):
    """Every version of every row of a source, as the oracle takes them."""
    source = fs.runtime.source(source_name)
    history = fs.runtime.history(source)
    columns = list(source.columns)
    found = []
    for chunk in history.versions(columns):
        hashes = history.content_hash(chunk.row)
        deleted = [False] * len(chunk.row) if chunk.deleted is None else chunk.deleted.tolist()
        records = zip(
            chunk.table.to_pylist(), chunk.event.tolist(), chunk.known.tolist(),
            chunk.tiebreak.tolist(), hashes.tolist(), chunk.late.tolist(), deleted, strict=True,
        )  # fmt: skip
        for values, event, known, sequence, hashed, late, gone in records:
            row_id = tuple(values[name] for name in source.row_id) or None
            when = None if event == ALWAYS else event
            tiebreak = sequence or ALWAYS + (hashed >> 1)
            found.append(HistoryRow(values, when, known, tiebreak, late, row_id, gone))
    return found


def answers(fs, view, entities, t):
    """What the online store serves: a dict of feature to bits and status per entity."""
    found = fs.get_online_features(view.name, entities, at=t)
    return [
        {name: (bits(v), str(s)) for name, v, s in zip(found.names, values, statuses, strict=True)}
        for values, statuses in zip(found.values, found.statuses, strict=True)
    ]


def expected_answers(fs, view, entities, t):
    """What the oracle says of the rows that the history has."""
    rows = rows_of(fs, view.source.name)
    return [
        {name: (bits(v), str(s)) for name, (v, s) in view_values(view, rows, e, t, t).items()}
        for e in entities
    ]


def check_parity(fs, view, entities, *moments):
    """Fail unless online store, training set and oracle agree to the bit at each moment."""
    for t in moments or (fs.runtime.clock.now(),):
        expected = expected_answers(fs, view, entities, t)
        assert answers(fs, view, entities, t) == expected
        spine = [entity | {"t": from_micros(t)} for entity in entities]
        table = fs.get_historical_features(spine, view.name, timestamp="t").to_arrow()
        found = [{n: bits(v) for n, v in row.items()} for row in table.to_pylist()]
        assert found == [
            {k: bits(v) for k, v in row.items()} | {n: v for n, (v, _) in each.items()}
            for row, each in zip(spine, expected, strict=True)
        ]


def log_ids(fs, source_name):
    """The row ids in the event log, one for each row, deletions left out."""
    source = fs.runtime.source(source_name)
    log = fs.runtime.log(source).reader()
    found = []
    for chunk in log.chunks([*source.row_id, DELETED]):
        live = chunk.table.filter(chunk.table[DELETED].combine_chunks().cast("bool").__invert__())
        found += [tuple(row.values())[0] for row in live.to_pylist()]
    return found


def when(text):
    return datetime.fromisoformat(text)


def write_part(path, rows, **changes):
    """Write rows as a Parquet file; ``changes`` replace columns, None leaves one out."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = dict.fromkeys(name for row in rows for name in row)
    table = pa.table({name: pa.array([row.get(name) for row in rows]) for name in names})
    for name, column in changes.items():
        at = table.column_names.index(name)
        table = table.remove_column(at)
        if column is not None:
            table = table.add_column(at, name, column)
    path.parent.mkdir(exist_ok=True, parents=True)
    pq.write_table(table, path)
    return path

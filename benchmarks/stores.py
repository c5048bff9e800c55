"""Online reads from stores behind a network: one call, in microseconds, beside the bare driver.

Ten latest features of 1 or 100 entities, from Redis, PostgreSQL and DynamoDB Local on this machine.
The bare driver gets the same bytes in its fastest way, of Redis also by a pipeline of GETs; nothing
is decoded there. `store` is the online store alone, `skewless` the whole read. Ratios are of the
median and of the client's CPU time, which is the steadier one on a busy machine.

    python -m benchmarks.stores --size small
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import data
from benchmarks.child import Clock, timed
from benchmarks.harness import (
    SIZES,
    Contender,
    Figures,
    Line,
    Options,
    PeerMissing,
    found,
    lines,
    machine,
    note,
    ratio,
    run_all,
)
from benchmarks.online import asked

WIDTH = 10
COUNTS = (1, 100)
HEADINGS = {f"{count}x{WIDTH}": f"{count} x {WIDTH}" for count in COUNTS}
BARE = {
    "redis": {"redis-py, GETs in a pipeline": "redis_pipeline", "redis-py, MGET": "redis_mget"},
    "postgres": {"psycopg, = ANY": "postgres_any"},
    "dynamodb": {"boto3, BatchGetItem": "dynamodb_batch"},
}
OPTIONS: dict[str, Callable[[str], dict[str, str]]] = {
    "redis": lambda url: {"url": url},
    "postgres": lambda url: {"dsn": url},
    "dynamodb": lambda url: {"endpoint": url, "region": "eu-central-1"},
}
Get = Callable[[list[bytes]], Any]


def run(options: Options) -> Figures:
    """Measure each store that can be started here."""
    entities = options.pick(500, 5_000, 20_000)
    newest = data.newest_rows(entities, WIDTH)
    parts = [measured_store(kind, str(newest), entities, options) for kind in BARE]
    return {
        "title": f"Online read from a server, {entities:,} entities, p50 / p99 microseconds",
        "data": [data.facts(newest)],
        "contenders": [one for part in parts for one in part["contenders"]],
        "ratios": {part["kind"]: part["ratios"] for part in parts},
    }


def measured_store(kind: str, newest: str, entities: int, options: Options) -> Figures:
    """Start a server, fill it, and measure everybody on it."""
    names = [f"skewless, {kind}", f"store, {kind}", *BARE[kind]]
    try:
        with tempfile.TemporaryDirectory() as folder, server_url(kind) as url:
            write_configuration(Path(folder), kind, url)
            fill(folder, newest)
            given = {"folder": folder, "entities": entities, "seconds": options.pick(1, 3, 5)}
            tasks = [
                Contender(names[0], "benchmarks.stores:skewless", {**given, "newest": newest}),
                Contender(names[1], "benchmarks.stores:store", given),
                *(
                    Contender(name, "benchmarks.stores:bare", {**given, "get": get, "url": url})
                    for name, get in BARE[kind].items()
                ),
            ]
            results = run_all(tasks, options)
    except PeerMissing as reason:
        note(f"  {kind}: skipped, {reason}")
        results = [{"name": name, "skipped": str(reason)} for name in names]
    ratios = {
        f"{role} / {peer}": {shape: times(results, role, peer, shape) for shape in HEADINGS}
        for role in names[:2]
        for peer in BARE[kind]
    }
    return {"kind": kind, "contenders": results, "ratios": ratios}


@contextlib.contextmanager
def server_url(kind: str) -> Iterator[str]:
    """Start a server and return its address."""
    import pytest

    from skewless.testing.servers import running

    keys = {"AWS_ACCESS_KEY_ID": "benchmark", "AWS_SECRET_ACCESS_KEY": "benchmark"}
    os.environ.update(keys if kind == "dynamodb" else {})
    with contextlib.ExitStack() as started:
        try:
            server = started.enter_context(running(kind))
        except pytest.skip.Exception as reason:
            raise PeerMissing(str(reason)) from None
        yield server.url


def write_configuration(folder: Path, kind: str, url: str) -> None:
    """Write the skewless.toml of a repo with a store on a server."""
    chosen = {"kind": kind, **OPTIONS[kind](url)}
    text = "\n".join(f"{name} = {json.dumps(value)}" for name, value in chosen.items())
    (folder / "skewless.toml").write_text(f"[online]\n{text}\n", encoding="utf-8")


def fill(folder: str, newest: str) -> None:
    """Bring ten latest features of every entity online."""
    import skewless as sl

    names = [f"f{number}" for number in range(WIDTH)]
    entity = sl.Entity("entity", entity=int)
    source = sl.Source(
        "rows",
        schema={"entity": int, **dict.fromkeys(names, float)},
        event_time="event_at",
        known_time="created_at",
        table=sl.Parquet(newest),
    )
    view = sl.FeatureView(
        "Rows", entity=entity, source=source, features={"newest": source.latest(*names)}
    )
    with sl.FeatureStore(folder) as store:
        store.apply(store.plan(view))
        store.materialize()


def skewless(
    clock: Clock, folder: str, newest: str, entities: int, seconds: float
) -> dict[str, Any]:
    """Read features."""
    import skewless as sl

    names = [f"Rows:f{number}" for number in range(WIDTH)]
    columns = data.read_columns(newest, ["entity", *(f"f{number}" for number in range(WIDTH))])
    rows = zip(*(column.tolist() for column in columns), strict=True)
    right = {entity: values for entity, *values in rows}
    with sl.FeatureStore(folder) as store:

        def read(keys: list[int]) -> Any:
            return store.get_online_features(names, [{"entity": key} for key in keys]).values

        keys = random.Random(2).sample(range(entities), 50)
        if read(keys) != [right[key] for key in keys]:
            raise RuntimeError("wrong values")
        with clock:
            return measured(read, entities, seconds)


def store(clock: Clock, folder: str, entities: int, seconds: float) -> dict[str, Any]:
    """Read the states of the entities."""
    import skewless as sl

    with sl.FeatureStore(folder) as features:
        table, keys, _ = states_of(features, entities)
        online = features.runtime.online

        def read(numbers: list[int]) -> Any:
            if len(numbers) == 1:
                return online.read_one(table, keys[numbers[0]])
            return online.read(table, [keys[number] for number in numbers])

        with clock:
            return measured(read, entities, seconds)


def bare(
    clock: Clock, *, folder: str, entities: int, seconds: float, get: str, url: str
) -> dict[str, Any]:
    """Get the same bytes by the same keys with nothing but the driver."""
    import skewless as sl

    with sl.FeatureStore(folder) as features:
        _, keys, states = states_of(features, entities)
    get_from: Callable[[str, dict[bytes, bytes]], Get] = globals()[get]
    read_keys = get_from(url, dict(zip(keys, states, strict=True)))

    def read(numbers: list[int]) -> Any:
        return read_keys([keys[number] for number in numbers])

    with clock:
        figures = measured(read, entities, seconds)
    return {**figures, "bytes_per_entity": sum(map(len, states)) // entities}


def measured(read: Callable[[list[int]], Any], entities: int, seconds: float) -> dict[str, Any]:
    """Return the percentiles of each shape."""
    return {f"{count}x{WIDTH}": timed(read, asked(entities, count), seconds) for count in COUNTS}


def states_of(features: Any, entities: int) -> tuple[str, list[bytes], list[bytes]]:
    """Return the table of the states, and key and state of each entity."""
    (part,) = features.runtime.lookup(["Rows:f0"], False).parts
    keys = part.keys([{"entity": number} for number in range(entities)])
    states = features.runtime.online.read(part.table, keys)
    if None in states:
        raise RuntimeError("an entity has no state")
    return part.table, keys, states


def redis_with(url: str, rows: dict[bytes, bytes]) -> Any:
    """Return a client of a Redis that has the rows."""
    import redis

    client = redis.Redis.from_url(url)
    client.mset({b"bare:" + key: value for key, value in rows.items()})
    return client


def redis_mget(url: str, rows: dict[bytes, bytes]) -> Get:
    """Return what gets rows from Redis in one command."""
    client = redis_with(url, rows)
    return lambda keys: client.mget([b"bare:" + key for key in keys])


def redis_pipeline(url: str, rows: dict[bytes, bytes]) -> Get:
    """Return what gets rows from Redis with a command each, sent at once."""
    client = redis_with(url, rows)

    def get(keys: list[bytes]) -> Any:
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.get(b"bare:" + key)
        return pipeline.execute()

    return get


def postgres_any(url: str, rows: dict[bytes, bytes]) -> Get:
    """Return what gets rows from PostgreSQL in one prepared statement."""
    import psycopg

    connection = psycopg.connect(url, autocommit=True)
    connection.execute("DROP TABLE IF EXISTS bare")
    connection.execute("CREATE TABLE bare (key bytea PRIMARY KEY, value bytea NOT NULL)")
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO bare VALUES (%s, %s)", list(rows.items()))
    select = "SELECT key, value FROM bare WHERE key = ANY(%s)"
    return lambda keys: connection.execute(select, (keys,), binary=True, prepare=True).fetchall()


def dynamodb_batch(url: str, rows: dict[bytes, bytes]) -> Get:
    """Return what gets rows from DynamoDB, consistently, in one call."""
    import boto3

    client = boto3.client("dynamodb", endpoint_url=url, region_name="eu-central-1")
    with contextlib.suppress(client.exceptions.ResourceInUseException):
        client.create_table(
            TableName="bare",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "B"}],
        )
    items = [{"k": {"B": key}, "v": {"B": value}} for key, value in rows.items()]
    for start in range(0, len(items), 25):
        puts = [{"PutRequest": {"Item": item}} for item in items[start : start + 25]]
        client.batch_write_item(RequestItems={"bare": puts})

    def get(keys: list[bytes]) -> Any:
        if len(keys) == 1:
            return client.get_item(TableName="bare", Key={"k": {"B": keys[0]}}, ConsistentRead=True)
        # DynamoDB refuses a key that is asked for twice.
        wanted = [{"k": {"B": key}} for key in dict.fromkeys(keys)]
        return client.batch_get_item(
            RequestItems={"bare": {"Keys": wanted, "ConsistentRead": True}}
        )

    return get


def times(results: list[Figures], own: str, peer: str, shape: str) -> Figures | None:
    """Return how many times as long as the bare driver a read takes."""
    above, below = found(results, own), found(results, peer)
    if above is None or below is None:
        return None
    return {key: ratio(above[shape], below[shape], key) for key in ("p50_us", "cpu_us")}


def summary(result: Figures) -> list[Line]:
    """Return lines for the table of the README."""
    every = result["contenders"]
    told = []
    for kind, peers in BARE.items():
        own, peer = found(every, f"skewless, {kind}"), found(every, next(iter(peers)))
        for shape, heading in HEADINGS.items():
            if own and peer:
                what = f"Online read from {kind}, {heading} features, p50 us"
                told += lines(what, own[shape], {**peer[shape], "name": peer["name"]}, "p50_us")
    return told


if __name__ == "__main__":
    size = sys.argv[sys.argv.index("--size") + 1] if "--size" in sys.argv else "small"
    if size not in SIZES:
        sys.exit(f"--size must be one of {', '.join(SIZES)}")
    print(json.dumps({"machine": machine(), **run(Options(size=size))}, indent=1))

"""Stores behind a network: online reads in microseconds beside the bare driver, and materialize.

Ten latest features of 1 or 100 entities, from Redis, PostgreSQL and DynamoDB Local on this machine.
The bare driver gets the same bytes in its fastest way, of Redis also by a pipeline of GETs; nothing
is decoded there. `store` is the online store alone, `skewless` the whole read. All of them take
turns in one process, a few calls each, so that other work on the machine slows all alike.
`benchmarks.store_writes` then materializes into Redis, beside Feast.

    python -m benchmarks.stores --size small
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks import data, store_writes
from benchmarks.child import Clock, cpu_seconds, latencies
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
    measured,
    note,
    ratio,
    run_all,
)
from benchmarks.online import asked
from benchmarks.peers import store_drivers

WIDTH = 10
COUNTS = (1, 100)
CALLS_A_TURN = 20
SHAPES = {f"{count}x{WIDTH}": f"{count} x {WIDTH}" for count in COUNTS}
HEADINGS = {**SHAPES, "rows_per_s": "rows/s", "cpu_s": "CPU s"}
BARE: dict[str, dict[str, Callable[..., store_drivers.Get]]] = {
    "redis": {
        "redis-py, GETs in a pipeline": store_drivers.redis_pipeline,
        "redis-py, MGET": store_drivers.redis_mget,
    },
    "postgres": {"psycopg, = ANY": store_drivers.postgres_any},
    "dynamodb": {"boto3, BatchGetItem": store_drivers.dynamodb_batch},
}
OPTIONS: dict[str, Callable[[str], dict[str, str]]] = {
    "redis": lambda url: {"url": url},
    "postgres": lambda url: {"dsn": url},
    "dynamodb": lambda url: {"endpoint": url, "region": "eu-central-1"},
}
Read = Callable[[list[int]], Any]


def run(options: Options) -> Figures:
    """Measure each store whose server can be started here."""
    entities = options.pick(500, 5_000, 20_000)
    newest = data.newest_rows(entities, WIDTH)
    results = [
        result for kind in BARE for result in measured_store(kind, str(newest), entities, options)
    ]
    writes = materialized(options)
    own, peer = found(writes, store_writes.OWN), found(writes, store_writes.PEER)
    return {
        "title": f"Online read from a server, {entities:,} entities, p50 / p99 microseconds",
        "data": [data.facts(newest)],
        "contenders": results + writes,
        "ratios": {kind: ratios(kind, results) for kind in BARE}
        | {"materialize into Redis, rows/s, skewless / Feast": ratio(own, peer, "rows_per_s")},
    }


def materialized(options: Options) -> list[Figures]:
    """Materialize into Redis, if its server can be started here."""
    try:
        with server_url("redis") as url:
            return store_writes.run(options, url)
    except PeerMissing as reason:
        names = (store_writes.OWN, store_writes.PEER)
        return [{"name": name, "skipped": str(reason)} for name in names]


def measured_store(kind: str, newest: str, entities: int, options: Options) -> list[Figures]:
    """Start a server, fill it, and measure everybody on it."""
    names = names_of(kind)
    try:
        with tempfile.TemporaryDirectory() as folder, server_url(kind) as url:
            write_configuration(Path(folder), kind, url)
            fill(folder, newest)
            given = {"kind": kind, "url": url, "folder": folder, "newest": newest}
            given |= {"entities": entities, "seconds": options.pick(0.1, 3, 5)}
            (result,) = run_all([Contender(kind, "benchmarks.stores:compare", given)], options)
    except PeerMissing as reason:
        note(f"  {kind}: skipped, {reason}")
        return [{"name": name, "skipped": str(reason)} for name in names]
    if not measured(result):
        return [{**result, "name": name} for name in names]
    return [{"name": name, **result["readers"][name]} for name in names]


def names_of(kind: str) -> list[str]:
    """Return what the contenders of a store are called."""
    return [f"skewless, {kind}", f"store, {kind}", *BARE[kind]]


@contextlib.contextmanager
def server_url(kind: str) -> Iterator[str]:
    """Start a server and return its address."""
    import pytest

    from skewless.testing.servers import running

    if kind == "dynamodb":
        os.environ.update(AWS_ACCESS_KEY_ID="benchmark", AWS_SECRET_ACCESS_KEY="benchmark")
    with contextlib.ExitStack() as started:
        try:
            server = started.enter_context(running(kind))
        except pytest.skip.Exception as reason:
            raise PeerMissing(str(reason)) from None
        yield server.url


def write_configuration(folder: Path, kind: str, url: str, **more: str) -> None:
    """Write the skewless.toml of a repo with a store on a server."""
    chosen = {"kind": kind, **OPTIONS[kind](url), **more}
    text = "\n".join(f"{name} = {json.dumps(value)}" for name, value in chosen.items())
    (folder / "skewless.toml").write_text(f"[online]\n{text}\n", encoding="utf-8")


def fill(folder: str, newest: str) -> None:
    """Bring ten latest features of every entity online."""
    import skewless as sl

    with sl.FeatureStore(folder) as store:
        store.apply(store.plan(features_of(newest)))
        store.materialize()


def features_of(newest: str) -> Any:
    """Return the view of ten latest features over a file."""
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
    return sl.FeatureView(
        "Rows", entity=entity, source=source, features={"newest": source.latest(*names)}
    )


def compare(
    clock: Clock, *, kind: str, url: str, folder: str, newest: str, entities: int, seconds: float
) -> dict[str, Any]:
    """Read features, states, and the same bytes with nothing but the driver, in turns."""
    import skewless as sl

    with sl.FeatureStore(folder) as store:
        (part,) = store.runtime.reader.lookup(["Rows:f0"], False).parts
        keys = part.keys([{"entity": number} for number in range(entities)])
        states = store.runtime.online.read(part.table, keys)
        rows = {key: state for key, state in zip(keys, states, strict=True) if state is not None}
        readers = {f"skewless, {kind}": features_reader(store, newest, entities)}
        readers[f"store, {kind}"] = states_reader(store, part.table, keys)
        for name, driver in BARE[kind].items():
            readers[name] = bare_reader(driver(url, rows), keys)
        with clock:
            shapes = {count: in_turns(readers, asked(entities, count), seconds) for count in COUNTS}
    return {
        "bytes_per_entity": sum(map(len, rows.values())) // entities,
        "readers": {
            name: {f"{count}x{WIDTH}": shapes[count][name] for count in COUNTS} for name in readers
        },
    }


def features_reader(store: Any, newest: str, entities: int) -> Read:
    """Return what reads ten features of entities, after a look at whether they are right."""
    names = [f"f{number}" for number in range(WIDTH)]
    references = [f"Rows:{name}" for name in names]

    def read(numbers: list[int]) -> Any:
        return store.get_online_features(references, [{"entity": n} for n in numbers]).values

    columns = data.read_columns(newest, ["entity", *names])
    every = zip(*(column.tolist() for column in columns), strict=True)
    right = {entity: values for entity, *values in every}
    some = random.Random(2).sample(range(entities), 50)
    if read(some) != [right[number] for number in some]:
        raise RuntimeError("wrong values")
    return read


def states_reader(store: Any, table: str, keys: list[bytes]) -> Read:
    """Return what reads the states of entities from the online store."""
    online = store.runtime.online

    def read(numbers: list[int]) -> Any:
        if len(numbers) == 1:
            return online.read_one(table, keys[numbers[0]])
        return online.read(table, [keys[number] for number in numbers])

    return read


def bare_reader(get: store_drivers.Get, keys: list[bytes]) -> Read:
    """Return what gets the states of entities with a driver."""
    return lambda numbers: get([keys[number] for number in numbers])


def in_turns(
    readers: Mapping[str, Read], arguments: list[list[int]], seconds: float
) -> dict[str, Figures]:
    """Call each reader a few times in turn; return percentiles and the CPU time of a call."""
    taken: dict[str, list[int]] = {name: [] for name in readers}
    cpu = dict.fromkeys(readers, 0.0)
    requests = itertools.cycle(arguments)
    until = time.monotonic() + seconds * len(readers)
    for turn in itertools.count():
        for name, read in readers.items():
            before = cpu_seconds()
            for request in itertools.islice(requests, CALLS_A_TURN):
                begin = time.perf_counter_ns()
                read(request)
                taken[name].append(time.perf_counter_ns() - begin)
            cpu[name] += cpu_seconds() - before
            if turn == 0:  # the first calls connect and prepare
                taken[name], cpu[name] = [], 0.0
        if turn and time.monotonic() > until:
            break
    return {
        name: {
            **latencies(every),
            "cpu_us": round(cpu[name] / len(every) * 1e6, 2),
            "calls": len(every),
        }
        for name, every in taken.items()
    }


def ratios(kind: str, results: list[Figures]) -> dict[str, Any]:
    """Return how many times as long as with the bare driver a read takes."""
    own, peers = names_of(kind)[:2], BARE[kind]
    return {
        f"{name} / {peer}": {
            shape: {key: ratio(above[shape], below[shape], key) for key in ("p50_us", "cpu_us")}
            for shape in SHAPES
        }
        for name in own
        for peer in peers
        if (above := found(results, name)) and (below := found(results, peer))
    }


def summary(result: Figures) -> list[Line]:
    """Return lines for the table of the README."""
    every = result["contenders"]
    told = []
    for kind, peers in BARE.items():
        own, peer = found(every, f"skewless, {kind}"), found(every, next(iter(peers)))
        for shape, heading in SHAPES.items():
            if own and peer:
                what = f"Online read from {kind}, {heading} features, p50 us"
                told += lines(what, own[shape], {**peer[shape], "name": peer["name"]}, "p50_us")
    wrote, peer = found(every, store_writes.OWN), found(every, store_writes.PEER)
    what = "Materialize into Redis, 10 features, rows/s"
    return told + lines(what, wrote, peer, "rows_per_s", more_is_better=True)


if __name__ == "__main__":
    size = sys.argv[sys.argv.index("--size") + 1] if "--size" in sys.argv else "small"
    if size not in SIZES:
        sys.exit(f"--size must be one of {', '.join(SIZES)}")
    print(json.dumps({"machine": machine(), **run(Options(size=size))}, indent=1))

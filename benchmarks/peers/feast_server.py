"""Feast's own HTTP server; runs with the interpreter of `peers.feast_env`.

Its online store is SQLite, what Feast has without a server. There is a view for each number of
features, because Feast reads all features of a view. It is started as its documentation says,
``feast serve``, without an access log.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.child import Clock
from benchmarks.peers.feast_tasks import END, START, open_store, quiet
from benchmarks.servers import Measured, Plan, Shape, every_shape, free_port, started

SETTINGS = """\
project: bench
provider: local
registry: registry.db
online_store:
    type: sqlite
    path: online.db
offline_store:
    type: duckdb
entity_key_serialization_version: 3
"""


def serve(
    clock: Clock, files: dict[str, str], entities: int, workers: int, seconds: float
) -> dict[str, Any]:
    """Fill the store, serve it, and measure every shape."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "feature_store.yaml").write_text(SETTINGS)
        fill(folder, files)

        @contextlib.contextmanager
        def serving() -> Iterator[Measured]:
            port = free_port()
            command = [str(Path(sys.executable).parent / "feast"), "serve", "--host", "127.0.0.1"]
            command += ["--port", str(port), "--workers", str(workers), "--no-access-log"]
            with started(command, f"http://127.0.0.1:{port}/health", folder) as process:
                server = Measured(process, port, "/get-online-features", body, workers=workers)
                check(server, files)
                yield server

        shapes = [Shape(count, width, entities) for count in (1, 100) for width in (10, 120)]
        shapes.append(Shape(1, 20, entities, windowed=True))
        with clock:
            return every_shape(serving, shapes, Plan(seconds))


def fill(folder: str, files: dict[str, str]) -> None:
    """Bring the newest row of every entity online, a view for each width."""
    from feast import Entity, FeatureView, Field, FileSource, ValueType
    from feast.types import Float64

    store = open_store(folder)
    entity = Entity(name="entity", join_keys=["entity"], value_type=ValueType.INT64)
    views = [
        FeatureView(
            name=f"rows_{width}",
            entities=[entity],
            ttl=timedelta(0),
            schema=[Field(name=f"f{number}", dtype=Float64) for number in range(int(width))],
            source=FileSource(
                name=f"file_{width}",
                path=path,
                timestamp_field="event_at",
                created_timestamp_column="created_at",
            ),
            online=True,
        )
        for width, path in files.items()
    ]
    with quiet():
        store.apply([entity, *views])
        store.materialize(START, END)


def body(shape: Shape, entities: list[int]) -> dict[str, Any]:
    """Return what is posted for some entities."""
    names = [f"rows_{shape.features}:f{number}" for number in range(shape.features)]
    return {"features": names, "entities": {"entity": entities}}


def check(server: Measured, files: dict[str, str]) -> None:
    """Raise unless the server answers what was put in."""
    import pyarrow.parquet as pq

    for width, path in files.items():
        rows = pq.read_table(path).slice(0, 50).to_pydict()
        answer = server.ask(Shape(50, int(width), 0), rows["entity"])
        names = answer["metadata"]["feature_names"]
        for name, result in zip(names, answer["results"], strict=True):
            if result["values"] != rows[name]:
                raise RuntimeError(f"wrong values of {name} of {width}")

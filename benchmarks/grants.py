"""Grants: CPU of a small read of the server, in process, without grants and with some.

Each read is `App.at_once` for one entity of a view of ten features, by a key with an actor: limits,
key, grants, store and JSON. The grant that allows it is the last of so many.

    python -m benchmarks grants
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from benchmarks.child import Clock, cpu_seconds
from benchmarks.harness import Contender, Figures, Line, Options, run_all

HEADINGS = {"cpu_us": "CPU us a read, least of 20 rounds", "reads": "reads"}


def run(options: Options) -> Figures:
    """Measure reads without grants, with one and with a hundred."""
    reads = options.pick(200, 20_000, 100_000)
    contenders = [
        Contender(
            f"skewless, {many} grants", "benchmarks.grants:read", {"grants": many, "reads": reads}
        )
        for many in (0, 1, 100)
    ]
    return {
        "title": "Reads with and without grants",
        "contenders": run_all(contenders, options),
    }


def read(clock: Clock, grants: int, reads: int) -> dict[str, Any]:
    """Read one entity again and again."""
    import skewless as sl
    from skewless.serving.app import App
    from skewless.serving.operate import keys
    from skewless.serving.settings import Settings

    card = sl.Entity("card", card_id=str)
    pays = sl.Source("pays", schema={"card_id": str, "amount": float}, event_time="at")
    features = {f"total_{hours}h": pays.amount.sum(f"{hours}h") for hours in range(1, 11)}
    view = sl.FeatureView("Spend", entity=card, source=pays, features=features)
    others = [
        sl.Grant(f"other_{number}", to=f"service:other{number}", read=view)
        for number in range(grants - 1)
    ]
    asked = [sl.Grant("asked", to="service:asks", read=view)] if grants else []
    with tempfile.TemporaryDirectory() as folder, sl.FeatureStore(folder) as fs:
        fs.apply([view, *others, *asked])
        fs.push("pays", [{"card_id": "c1", "amount": 1.0, "at": datetime.now(UTC)}])
        key = keys.create(fs.runtime.registry, scope="read", actor="service:asks")
        app = App(fs, Settings())
        app.start()
        headers = {b"authorization": f"Bearer {key}".encode()}
        body = json.dumps({"features": "Spend", "entities": [{"card_id": "c1"}]}).encode()
        answer = app.at_once(b"/v1/features", headers, body)
        if answer is None or answer[0].status != 200:
            raise RuntimeError(f"not read: {answer}")
        rounds, size = [], max(1, reads // 20)
        with clock:
            for _ in range(20):
                start = cpu_seconds()
                for _ in range(size):
                    app.at_once(b"/v1/features", headers, body)
                rounds.append(cpu_seconds() - start)
    return {"cpu_us": round(min(rounds) * 1e6 / size, 2), "reads": 20 * size}


def summary(result: Figures) -> Iterator[Line]:
    """Yield nothing: there is nobody to compare with."""
    del result
    yield from ()

"""The audit: CPU of a small read of the server with and without it, and the time of a search.

Each read is `App.at_once` for one entity of a view of ten features, by a key with an actor. CPU is
that of the process, so what the audit's thread writes counts. A search is for one of many entities
that were read once each, over as many accesses as `accesses` says, with the index of every file.

    python -m benchmarks audit
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.child import Clock, cpu_seconds
from benchmarks.harness import Contender, Figures, Line, Options, run_all

HEADINGS = {
    "cpu_us": "CPU us a read, all rounds",
    "accesses": "accesses",
    "bytes": "bytes of one on disk",
    "search_ms": "ms of a search, the longest of 20",
    "index_s": "s to make the indexes",
    "verify_s": "s to verify all",
}
_BATCH = 20_000


def run(options: Options) -> Figures:
    """Measure reads without an audit and with one, and searches in a large one."""
    reads = options.pick(200, 20_000, 100_000)
    accesses = options.pick(1_000, 1_000_000, 10_000_000)
    contenders = [
        Contender(f"skewless, audit {mode}", "benchmarks.audit:read",
                  {"mode": mode, "reads": reads})
        for mode in ("off", "on")
    ]  # fmt: skip
    contenders.append(
        Contender("skewless, search", "benchmarks.audit:search", {"accesses": accesses})
    )
    return {"title": "Reads on record", "contenders": run_all(contenders, options)}


def read(clock: Clock, mode: str, reads: int) -> dict[str, Any]:
    """Read one entity again and again."""
    import skewless as sl
    from skewless.serving.app import App
    from skewless.serving.operate import keys
    from skewless.serving.settings import Settings

    card = sl.Entity("card", card_id=str)
    pays = sl.Source("pays", schema={"card_id": str, "amount": float}, event_time="at")
    features = {f"total_{hours}h": pays.amount.sum(f"{hours}h") for hours in range(1, 11)}
    view = sl.FeatureView("Spend", entity=card, source=pays, features=features)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "skewless.toml").write_text(f'[audit]\nmode = "{mode}"\n')
        with sl.FeatureStore(folder) as fs:
            fs.apply([view])
            fs.push("pays", [{"card_id": "c1", "amount": 1.0, "at": datetime.now(UTC)}])
            key = keys.create(fs.runtime.registry, scope="read", actor="service:asks")
            app = App(fs, Settings())
            app.start()
            headers = {b"authorization": f"Bearer {key}".encode()}
            body = json.dumps({"features": "Spend", "entities": [{"card_id": "c1"}]}).encode()
            for _ in range(reads // 10):
                app.at_once(b"/v1/features", headers, body)
            fs.audit.write()
            with clock:
                start = cpu_seconds()
                for _ in range(reads):
                    app.at_once(b"/v1/features", headers, body)
                fs.audit.write()
                spent = cpu_seconds() - start
            found = {"cpu_us": round(spent * 1e6 / reads, 2), "accesses": reads}
            size = sum(file.stat().st_size for file in fs.audit.ledger.chain.files())
            return found | ({"bytes": size // (reads + reads // 10)} if size else {})


def search(clock: Clock, accesses: int) -> dict[str, Any]:
    """Look for entities in an audit of many accesses."""
    import skewless as sl
    from skewless.audit.events import READ, Access, FeatureList, Subjects, subjects_named
    from skewless.audit.index import index_of
    from skewless.audit.search import Search

    card = sl.Entity("card", card_id=str)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "skewless.toml").write_text("[audit]\n")
        with sl.FeatureStore(folder) as fs:
            fs.apply([card])
            subjects, features = [Subjects(card, {})], FeatureList.of(["Spend@v1:total"])
            for first in range(0, accesses, _BATCH):
                for number in range(first, min(first + _BATCH, accesses)):
                    rows = [{"card_id": f"c{number}"}]
                    actor = f"service:s{number % 100}"
                    fs.audit.note(
                        Access(READ, actor, features, subjects, rows, 1, request="5f1c0e7a9b21-7")
                    )
                fs.audit.write()
            files = fs.audit.ledger.chain.files()
            start = time.perf_counter()
            for file in files[:-1]:
                index_of(file)
            indexed, taken = time.perf_counter() - start, []
            with clock:
                for turn in range(20):
                    row = {"card_id": f"c{turn * accesses // 20}"}
                    begun = time.perf_counter()
                    named = subjects_named([card], row, fs.audit.keyed)
                    found = Search(fs.audit).who_read(list(named.values()))
                    taken.append(time.perf_counter() - begun)
                    if len(found) != 1:
                        raise RuntimeError(f"{len(found)} accesses of {row} found")
            begun = time.perf_counter()
            if not Search(fs.audit).verify().ok:
                raise RuntimeError("the audit is not as it was written")
            verified = time.perf_counter() - begun
            size = sum(file.stat().st_size for file in files)
    return {
        "accesses": accesses,
        "bytes": size // accesses,
        "search_ms": round(max(taken) * 1e3, 1),
        "index_s": round(indexed, 1),
        "verify_s": round(verified, 1),
    }


def summary(result: Figures) -> Iterator[Line]:
    """Yield nothing: there is nobody to compare with."""
    del result
    yield from ()

"""A store for a scenario: opened, stepped through, closed, reopened."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any

from skewless.clock import SettableClock
from skewless.config import Config
from skewless.definitions import FeatureView, OnDemandView, Source
from skewless.definitions.repo import Definitions
from skewless.ingest.catch_up import catch_up
from skewless.ingest.deletion import delete
from skewless.ingest.push import PushResult, push
from skewless.ingest.stream.worker import StreamWorker
from skewless.materialize.verbs import backfill, compact, materialize
from skewless.online.apply import apply_plan
from skewless.online.derive import all_derived_of
from skewless.online.runtime import Runtime
from skewless.plan.apply.diff import diff
from skewless.testing.traffic.definitions import TrafficDefinitions, stream_folder, table_folder
from skewless.testing.traffic.events import Step, plain_row


class ScenarioRepo:
    """A store in a folder, and the clock of the scenario.

    Args:
        folder: of the repo.
        definitions: what is defined in it.
        store: kind of the online store.
        rewind: microseconds.
    """

    def __init__(
        self, folder: Path, definitions: TrafficDefinitions, store: str, rewind: int
    ) -> None:
        self.definitions = definitions
        self.clock = SettableClock()
        # Without flushes: a kill of the process loses nothing, a loss of power is not tried.
        online = {"kind": store, "sync": False}
        if store == "lmdb":
            online["map_size"] = 1 << 28
        settings = {"rewind": f"{rewind}us", "online": online}
        self._config = Config.of(folder, settings)
        self.done: Counter[str] = Counter()
        self.open()

    def open(self) -> None:
        """Open the store; what is applied to it stays applied."""
        self.runtime = Runtime(self._config, self.clock)
        self.runtime.derive = partial(catch_up, self.runtime)

    def close(self) -> None:
        """Close the store."""
        self.runtime.close()

    def set_up(self, at: int) -> None:
        """Apply the first view, and the view of vectors with what is asked of it."""
        self.clock.time = at
        self._apply(self.definitions.views[:1])
        self._applied(self.definitions.tastes, self.definitions.asked)

    def do(self, step: Step) -> None:
        """Do what a step says. Doing it twice, after a kill, is what a restart would do."""
        self.clock.time = step.at
        runtime, name = self.runtime, self.definitions.source.name
        match step.kind:
            case "push":
                self._note(push(runtime, name, self._batch(step), backdate=step.backdate))
            case "stream":
                self._write_stream(step)
                self._stream(step.most)
            case "delete":
                self._note(delete(runtime, name, self._ids(step)))
            case "file":
                self._write_file(step)
                materialize(runtime, None, None, None)
            case "materialize":
                materialize(runtime, None, None, None)
            case "backfill":
                backfill(runtime, None, None, None)
            case "compact":
                compact(runtime, None)
            case "reopen":
                self.close()
                self.open()
            case "apply":
                self._apply(self.definitions.views[: step.views[0]])
        self.done[f"{step.kind} steps"] += 1

    def _note(self, result: PushResult) -> None:
        self.done["rows"] += result.accepted
        self.done["late rows"] += result.late
        self.done["corrections and deletions"] += result.corrections
        self.done["duplicates"] += result.duplicates
        self.done["quarantined rows"] += len(result.quarantined)

    def _batch(self, step: Step) -> Any:
        rows = [plain_row(row) for row in step.rows]
        return _framed(self.definitions.source, rows) if step.framed else rows

    def _ids(self, step: Step) -> list[Any]:
        names = self.definitions.source.row_id
        ids = [tuple(row[name] for name in names) for row in step.rows]
        return [found[0] for found in ids] if len(names) == 1 else ids

    def _write_file(self, step: Step) -> None:
        import pyarrow.parquet as pq

        folder = table_folder(self._config.folder)
        folder.mkdir(exist_ok=True)
        rows = [plain_row(row) for row in step.rows if "_bad" not in row]
        pq.write_table(_framed(self.definitions.source, rows), folder / f"{step.at}.parquet")

    def _write_stream(self, step: Step) -> None:
        """Write a file of the stream, whole or not at all; done twice it is the same file."""
        import pyarrow.parquet as pq

        folder = stream_folder(self._config.folder)
        folder.mkdir(exist_ok=True)
        stream = self.definitions.source.stream
        if stream is None or stream.options.get("format") != "parquet":
            path, text = folder / f"{step.at}.jsonl", lines_of(step.rows)
            hidden = path.with_name(f".{path.name}")
            hidden.write_text(text, encoding="utf-8")
        else:
            path = folder / f"{step.at}.parquet"
            hidden = path.with_name(f".{path.name}")
            rows = [plain_row(row) for row in step.rows if "_bad" not in row]
            pq.write_table(_framed(self.definitions.source, rows), hidden)
        hidden.rename(path)

    def _stream(self, most: int) -> None:
        """Let a worker take in what is there."""
        worker = StreamWorker(self.runtime, self.definitions.source.name, max_rows=most)
        with worker:
            while (kept := worker.step(0)) is not None:
                self._note(kept.result)
                self.done["batches of streams"] += 1

    def _apply(self, views: tuple[FeatureView, ...]) -> None:
        """Apply views; two of one name become two versions of one view."""
        for view in views:
            runtime = self.runtime
            state = runtime.registry.state()
            if any(view.fingerprint == other.fingerprint for other in state.views.values()):
                continue
            self._applied(view)

    def _applied(self, *views: FeatureView | OnDemandView) -> None:
        state, now = self.runtime.registry.state(), self.clock.now()
        plan = diff(state, Definitions.of(*views), removing=False, repin=[], now=now)
        apply_plan(self.runtime, plan, who="traffic", allow_breaking=True)

    def labels(self, readable: int) -> list[str]:
        """Return the names, versions included, of the first views."""
        seen: Counter[str] = Counter()
        found = [f"{view.name}@v1" for view in (self.definitions.tastes, self.definitions.asked)]
        for view in self.definitions.views[:readable]:
            seen[view.name] += 1
            found.append(f"{view.name}@v{seen[view.name]}")
        return found

    def derived_rows(self) -> int:
        """Return how many rows were made of groups of others."""
        derived = all_derived_of(self.runtime, self.definitions.source)
        return sum(self.runtime.log(source).last_sequence() for source in derived)

    def last_sequence(self) -> int:
        """Return the number of the newest row of the log."""
        return self.runtime.log(self.definitions.source).last_sequence()


def lines_of(rows: Sequence[dict[str, Any]]) -> str:
    r"""Return rows as lines of JSON.

    >>> lines_of([{"day": date(2024, 2, 29), "blob": b"xyz"}])
    '{"day": "2024-02-29", "blob": "78797a"}\n'
    """
    return "".join(json.dumps(plain_row(row), default=_as_text) + "\n" for row in rows)


def _as_text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if isinstance(value, (date, datetime)) else str(value)


def _framed(source: Source, rows: list[dict[str, Any]]) -> Any:
    import pyarrow as pa

    return pa.table(
        {
            name: pa.array([dtype.coerce(row[name]) for row in rows], dtype.arrow())
            for name, dtype in source.columns.items()
        }
    )

"""The served log: what was answered, of a sample of entities, for the proof that it was right.

One line of JSON for each entity and read::

    {"format": 2, "request": "5f1c0e7a9b21-7", "at": 1767261600000000,
     "features": ["Spend@v1:mean_24h"], "entity": {"card_id": "c1"}, "values": [3.0],
     "statuses": ["present"], "events": [1767261590000000]}

``request`` is the id that the answer carries (``x-request-id``), by which `skewless.replay` finds
it; ``at`` is the moment asked about and the knowledge, UTC microseconds; ``features`` are
references with versions; ``entity`` holds join keys and request fields; ``events`` are the
newest event times.
Values have the form of `skewless.codec`; floats read back to the same bits.

Entities are sampled by a hash of their join keys: an entity that is in the log is in it with every
read. Files are ``served-<start>-<process>.jsonl``, begun again at 64 MB; the newest 16 are kept.
"""

from __future__ import annotations

import json
import os
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from skewless.clock import iso
from skewless.codec import to_json
from skewless.forks import Lock
from skewless.plan.lookup import Found
from skewless.serving.operate.metrics import Metrics
from skewless.serving.read.plans import ReadPlan, Row

FORMAT = 2
FILE_BYTES = 64 << 20
FILES = 16
MOST_WAITING = 100_000
REQUEST: ContextVar[bytes] = ContextVar("request", default=b"")
"""The id of the request that is answered, where a served log is kept."""
_Noted = tuple[bytes, ReadPlan, Row, tuple[Any, Any, Any], int]


class ServedLog:
    """Collects what is served; `write` puts it into files.

    Args:
        folder: of the files.
        fraction: of the entities that are logged, 0 to 1.
        metrics: where entities logged and dropped are counted.
        file_bytes: size at which a new file is begun.
        files: how many are kept.
    """

    def __init__(
        self,
        folder: Path,
        fraction: float,
        metrics: Metrics,
        *,
        file_bytes: int = FILE_BYTES,
        files: int = FILES,
    ) -> None:
        self.folder = folder
        self._below = int(fraction * 2**32)
        self._metrics = metrics
        self._file_bytes = file_bytes
        self._files = files
        self._waiting: deque[_Noted] = deque()
        self._path: Path | None = None
        self._lock = Lock()

    def note(self, plan: ReadPlan, entities: Sequence[Row], found: Found, t: int) -> None:
        """Remember the answers for entities of the sample."""
        lookup = plan.lookup
        if not lookup.parts:
            return
        first, request = lookup.parts[0], REQUEST.get()
        for number, entity in enumerate(entities):
            if first.names(entity) and zlib.crc32(first.key(entity)) < self._below:
                if len(self._waiting) >= MOST_WAITING:
                    self._metrics.logged.add(("dropped",))
                    continue
                answer = (found[0][number], found[1][number], found[2][number])
                self._waiting.append((request, plan, entity, answer, t))

    def write(self) -> int:
        """Write down what was remembered and return how many entities that were."""
        with self._lock:
            lines = []
            while self._waiting:
                lines.append(json.dumps(_line(*self._waiting.popleft()), separators=(",", ":")))
            if lines:
                path = self._current()
                with path.open("a", encoding="utf-8") as file:
                    file.write("\n".join(lines) + "\n")
                self._metrics.logged.add(("written",), len(lines))
            return len(lines)

    def _current(self) -> Path:
        """Return the file to write to, a new one when that has grown too large."""
        if self._path is None or self._path.stat().st_size >= self._file_bytes:
            self.folder.mkdir(parents=True, exist_ok=True)
            stamp = iso(self._now()).replace(":", "").replace("-", "").replace(".", "")
            self._path = self.folder / f"served-{stamp}-{os.getpid()}.jsonl"
            self._path.touch(mode=0o600)
            for old in sorted(self.folder.glob("served-*.jsonl"))[: -self._files]:
                old.unlink(missing_ok=True)
        return self._path

    @staticmethod
    def _now() -> int:
        import time

        return time.time_ns() // 1000


def read(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of all files of a folder, oldest file first, as plain data."""
    for path in sorted(folder.glob("served-*.jsonl")):
        with path.open(encoding="utf-8") as file:
            for line in file:
                if line.endswith("\n"):  # the last one of a server that was killed may be cut
                    yield json.loads(line)


def _line(
    request: bytes, plan: ReadPlan, entity: Row, answer: tuple[Any, Any, Any], t: int
) -> dict[str, Any]:
    values, statuses, events = answer
    return {
        "format": FORMAT,
        "request": request.decode("latin-1"),
        "at": t,
        "features": [output.reference for output in plan.lookup.selection.outputs],
        "entity": {name: to_json(value) for name, value in entity.items()},
        "values": [to_json(value) for value in values],
        "statuses": [status.value for status in statuses],
        "events": list(events),
    }

"""How streams stand: their positions, their workers, and restarting one.

for status in stream_status(fs.runtime):
    print(status.source, status.state, status.position)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from skewless.definitions import Source
from skewless.errors import Conflict, InputError
from skewless.ingest.stream.metrics import together
from skewless.ingest.stream.positions import StreamPositions
from skewless.online.lease import Holder
from skewless.online.runtime import Runtime
from skewless.online.storage import journal_id
from skewless.plugins import find
from skewless.streams.base import StreamReader
from skewless.variables import without_secrets


@dataclass(frozen=True)
class StreamStatus:
    """How one stream stands.

    Attributes:
        source: whose stream it is.
        stream: kind and options of the stream, without secrets.
        state: ``running``, ``stopped``, ``died`` (its worker was killed, or cannot reach the
            store) or ``never`` (no worker ever ran).
        position: partition to how far it was read; None before the first row.
        worker: host, pid and start of the last worker.
        metrics: what that worker counted when it last told, a few seconds ago at most while it
            runs; of several that share the stream, all together.
        workers: of a stream that is shared, each of its workers: host, pid, start, its partitions
            (``parts``) and its ``metrics``.
    """

    source: str
    stream: dict[str, Any]
    state: str
    position: dict[str, int] | None
    worker: dict[str, Any] | None
    metrics: dict[str, Any] | None
    workers: list[dict[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return vars(self).copy()


def stream_status(runtime: Runtime, sources: list[str] | None = None) -> list[StreamStatus]:
    """Return how the streams of sources stand; None: of all that have one.

    Raises:
        UnknownName: no such source.
        InputError: a source without a stream.
    """
    if sources is None:
        found = [s for s in runtime.state(fresh=True).sources.values() if s.stream is not None]
    else:
        found = [runtime.source(name) for name in sources]
    return [_status(runtime, source) for source in sorted(found, key=lambda s: s.name)]


def _status(runtime: Runtime, source: Source) -> StreamStatus:
    reader = stream_reader(runtime, source)
    stored = reader.join(StreamPositions(runtime.journal, source, reader).read())
    holders = Holder.read(runtime.journal, source.stored)
    last = next(
        (each for each in reversed(holders) if each.alive), holders[-1] if holders else None
    )
    state = "never"
    if last is not None:
        state = "running" if last.alive else ("died" if last.until else "stopped")
    counted = None if last is None else last.metrics
    shared = [each for each in holders if each.parts is not None and each.alive]
    who = ("host", "pid", "since")
    return StreamStatus(
        source.name,
        without_secrets("stream", source.stream.to_dict() if source.stream else {}),
        state,
        None if stored is None else reader.describe(stored),
        None if last is None else {name: getattr(last, name) for name in who},
        together([each.metrics for each in shared]) if shared else counted,
        [{name: getattr(each, name) for name in (*who, "parts", "metrics")} for each in shared],
    )


def forget_position(runtime: Runtime, source_name: str) -> bool:
    """Let the next worker begin a stream as if it had never been read; return whether it had.

    Rows that come again are duplicates where the source has a row id, and count twice elsewhere.

    Raises:
        Conflict: a worker is at work on it.
        InputError: the source has no stream.
    """
    source = runtime.source(source_name)
    places = StreamPositions(runtime.journal, source, stream_reader(runtime, source))
    with runtime.journal.transaction() as rows:
        alive = [each for each in Holder.read(rows, source.stored) if each.alive]
        if alive:
            raise Conflict(
                f"a worker is at work on the stream of {source_name!r}",
                where=", ".join(f"process {each.pid} on {each.host}" for each in alive),
                hint="Stop it first.",
            )
        return places.forget(rows)


def stream_reader(runtime: Runtime, source: Source) -> StreamReader:
    """Return the reader of a source's stream.

    Raises:
        InputError: it has none.
        MissingDependency: a library it needs is not installed.
    """
    if source.stream is None:
        raise InputError(
            f"source {source.name!r} has no stream",
            hint="Define one, for example: stream=sl.Files('landing/'). Pushing always works.",
        )
    made = find("stream", source.stream.kind)
    consumer = f"skewless-{source.stored}-{journal_id(runtime.journal)}"
    reader: StreamReader = made(source.stream, runtime.config.folder, consumer=consumer)
    reader.typed(source.columns)
    return reader

"""From messages of a broker to batches of rows: their values, keys, headers and times decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skewless.streams._payloads import decoders
from skewless.streams.base import Batch, Poison, Tombstone
from skewless.streams.envelopes import BesideValue, parts_of, paths_of
from skewless.streams.records import Record

if TYPE_CHECKING:
    from skewless.definitions.tables import Located
    from skewless.types import DType


class Messages:
    """Makes batches of the messages of a stream.

    Args:
        stream: its options say the ``format`` and where ``columns`` lie.
        options: of the stream; those of decoders (``schema.registry.``, ...) are taken out.
        base: where relative paths start.

    Raises:
        InputError: a format or options that are none.
    """

    def __init__(
        self, stream: Located, name: str, options: dict[str, Any], base: Path | None = None
    ) -> None:
        places = stream.options.get("columns") or {}
        format = stream.options.get("format", "json")
        self._payload, self._keys = decoders(format, name, options, base, paths_of(places))
        self._parts = parts_of(places)
        self.typed({})

    def typed(self, columns: Mapping[str, DType]) -> None:
        """Ask for these columns."""
        self._beside = BesideValue(columns, self._parts, self._keys.decode)

    def batch(self, records: Sequence[Record], origins: Sequence[str], position: bytes) -> Batch:
        """Return messages that are all rows or all tombstones as a batch.

        Args:
            records: the messages.
            origins: where each lies.
            position: behind them.
        """
        arrived = min((r.arrived for r in records if r.arrived is not None), default=None)
        values = [record.value for record in records if record.value is not None]
        if records and not values:
            graves = tuple(map(self._tombstone, records, origins))
            return Batch([], position, str, tombstones=graves, arrived=arrived)
        headers = None
        if any(record.headers for record in records):
            headers = [record.headers for record in records]
        made = self._payload.decode(values, self._beside.of_values, headers)
        made = self._beside.added(made, records)
        return Batch(
            made.rows,
            position,
            lambda row: origins[made.taken[row]],
            tuple(Poison(values[n], reason, origins[n]) for n, reason in made.poison),
            arrived=arrived,
            ignored=made.ignored,
        )

    def _tombstone(self, record: Record, origin: str) -> Tombstone:
        try:
            said = self._keys.decode(record.key, record.headers)
        except ValueError as problem:
            return Tombstone(record.key, origin, problem=str(problem))
        if isinstance(said, bytes):
            return Tombstone(said, origin)
        return Tombstone(record.key, origin, named=said)

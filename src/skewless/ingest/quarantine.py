"""Rows that were set aside: kept with their reasons, newest last."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from skewless.definitions import Source
from skewless.online.dedup import Rejected
from skewless.online.runtime import Runtime
from skewless.stores.online.base import KeyValues


@dataclass(frozen=True)
class Quarantined:
    """A row set aside by an earlier push.

    Attributes:
        at: when, UTC microseconds.
        reason: why.
        values: what it held, as text.
    """

    at: int
    reason: str
    values: str


def set_aside(
    transaction: KeyValues, source: Source, rejected: Sequence[Rejected], now: int
) -> None:
    """Keep rows that did not fit their source, with reasons, inside a transaction."""
    if not rejected:
        return
    items = []
    for number, row in enumerate(rejected):
        key = struct.pack(">qI", now, number) + os.urandom(4)
        items.append((key, json.dumps([now, row.reason, row.values]).encode()))
    transaction.write(f"quarantine.{source.name}", items)


def quarantined(runtime: Runtime, source_name: str, limit: int) -> list[Quarantined]:
    """Return the newest quarantined rows; see `FeatureStore.quarantine`."""
    source = runtime.source(source_name)
    found = [json.loads(value) for _, value in runtime.journal.scan(f"quarantine.{source.name}")]
    return [Quarantined(at, reason, values) for at, reason, values in reversed(found[-limit:])]

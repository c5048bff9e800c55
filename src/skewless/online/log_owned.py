"""States that are kept up without a journal: what they are, where their rows come from.

A function that lives for seconds (AWS Lambda) has no disk for a journal, and the many tasks of a
job (Flink) have none that all could write. What a journal would know lies beside the states then,
and the log is the stream itself, which brings every record at least once and those of a **lane** (a
partition, a partition key, a message group, an item) in order:

| row of the store | says |
|---|---|
| the mark (`online.ownership`) | ``log <id>``: no journal writes these states |
| `LOGS` | of a source: its stream, and the tables that hold every row of it |
| lanes of a source | the last record of each lane that states hold |
| seen keys of a table (`online.seen`) | who has a state, so that a lost one is noticed |

States, seen keys and lanes change together (`stores.online.together`), so a record that comes again
is known by its number, whoever else is at work.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from skewless.definitions import Source
from skewless.online.tables import StateTable
from skewless.state.layout import StateLayout
from skewless.stores.online.base import KeyValues, OnlineStore

LOGS = "skewless.logs"


def lanes_table(source: str) -> str:
    """Return the table with the last record of each lane of a source."""
    return f"lanes.{source}"


@dataclass(frozen=True)
class StreamLog:
    """The stream that the states of a source are built from, and these.

    Attributes:
        source: as it was when they were begun.
        stream: its name: an ARN, or ``kafka:cluster/topic/id``.
        tables: the tables of states; they hold all that was read of the stream.
    """

    source: Source
    stream: str
    tables: tuple[StateTable, ...]

    @property
    def layouts(self) -> tuple[StateLayout, ...]:
        """How the states of each table are packed."""
        return tuple(table.layout for table in self.tables)

    @classmethod
    def read(cls, states: KeyValues, source: str) -> StreamLog | None:
        """Return that of a source, None if there is none."""
        found = states.read_one(LOGS, source.encode())
        return None if found is None else cls.from_json(found)

    @classmethod
    def from_json(cls, text: bytes) -> StreamLog:
        """Return what `to_json` wrote."""
        data: dict[str, Any] = json.loads(text)
        tables = tuple(StateTable.from_json(json.dumps(each).encode()) for each in data["tables"])
        return cls(Source.from_dict(data["source"]), data["stream"], tables)

    def to_json(self) -> bytes:
        """Return it as it stands in the store."""
        tables = [json.loads(table.to_json()) for table in self.tables]
        data = {"source": self.source.to_dict(), "stream": self.stream, "tables": tables}
        return json.dumps(data).encode()


def tables_of_logs(states: OnlineStore) -> set[str]:
    """Return the tables of states that hold every row of their streams."""
    return {
        layout.table
        for _, found in states.scan(LOGS)
        for layout in StreamLog.from_json(found).layouts
    }

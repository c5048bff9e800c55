"""States kept up without a journal: each record of a stream counts once, however often it comes.

    writer = LaneWriter(Path("repo"), "payments")
    for done in writer.kept(records):                  # in the order of their lanes
        ...

Records are kept in **units** of as many as the store changes together: the states of their
entities, the keys that are new, and the last number of each lane, all or nothing. Records whose
number a lane has reached already are passed over, so that a batch may be cut and repeated in any
way. Where two writers change one state at once, the second finds that out and does its unit again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from skewless.clock import Clock, SystemClock
from skewless.codec import row_text
from skewless.config import Config
from skewless.definitions import Source
from skewless.definitions.tables import Kafka, Kinesis
from skewless.errors import Conflict, CorruptData, StoreError
from skewless.ingest.lanes.exactness import refuse_inexact, refuse_store
from skewless.ingest.lanes.records import LaneRecord
from skewless.ingest.quarantine import set_aside
from skewless.ingest.validation import validate, without_long_keys
from skewless.online import oversize
from skewless.online.dedup import Arrivals, Rejected, ValidRows
from skewless.online.log_owned import LOGS, StreamLog, lanes_table
from skewless.online.ownership import MARK, Mark
from skewless.online.storage import open_store
from skewless.online.update import Places, update
from skewless.state.header import read_header
from skewless.state.keys import KeyCodec
from skewless.state.layout import StateLayout
from skewless.stores.online.projects import of_project
from skewless.stores.online.remote import pause
from skewless.stores.online.together import Together
from skewless.streams.messages import Messages
from skewless.streams.records import Record
from skewless.types import python_rows
from skewless.variables import expand

if TYPE_CHECKING:
    from skewless.stores.offline.log.log import EventLog

ATTEMPTS = 8
MOST_BYTES = 3 << 20
"""Of values that change together: DynamoDB takes 4 MB, of which keys and conditions are a part."""
MOST_LANES = 100_000
"""Of which it is remembered how far they had come."""


class LaneWriter:
    """Keeps up the states of one source.

    Args:
        folder: of skewless.toml; nothing is written there.
        source: name of the source.
        clock: tells the present.

    Raises:
        Conflict: nothing was begun for the source, or a journal writes the states.
        DefinitionError: the source cannot be counted exactly.
        StoreError: the store cannot change several rows as one.
    """

    def __init__(self, folder: Path, source: str, *, clock: Clock | None = None) -> None:
        self.config = Config.read(folder)
        where = f"[online] of {self.config.file or folder}"
        self.store = of_project(open_store(self.config.online, where), self.config.project)
        refuse_store(self.store)
        self.clock = clock or SystemClock()
        self._told: tuple[bytes | None, bytes | None] | None = None
        self.stream_log = self._begun(source)
        refuse_inexact(self.source, self.stream_log.layouts)
        self._messages = _messages(self.source, folder)
        self._aside: dict[str, dict[bytes, int]] = {}
        self._reached: dict[bytes, int] = {}

    @property
    def source(self) -> Source:
        """The source, as it was when its states were begun."""
        return self.stream_log.source

    def kept(self, records: Sequence[LaneRecord]) -> Iterator[int]:
        """Keep records, a unit at a time; yield how many are kept by then, all before them too.

        Raises:
            Conflict: others change the same states all the time.
            CorruptData: states are missing of entities that had one.
            StoreUnavailable: the store cannot be reached; what was kept is kept.
        """
        step = max(1, self.store.capabilities.together // (1 + len(self.stream_log.tables)))
        for first in range(0, len(records), step):
            some = records[first : first + step]
            self._keep(some)
            yield first + len(some)

    def reached(self, lane: bytes) -> int:
        """Return the number of the last record of a lane that states hold; -1: of none yet."""
        found = self.store.read_one(lanes_table(self.source.name), lane)
        return -1 if found is None else int(found)

    def check(self, stream: str) -> None:
        """Refuse records of another stream than the states are built from, and other owners.

        Raises:
            Conflict: they are.
        """
        found = self._begun(self.source.name)
        if found.stream != stream:
            raise Conflict(
                f"the states of {found.source.name!r} are built from another stream",
                got=stream,
                expected=found.stream,
                where=self.store.where,
            )

    def log(self, source: Source) -> EventLog:
        """See `online.update.Repo`: rows that are replaced are refused."""
        raise StoreError(f"there is no log of {source.name!r} here")

    def close(self) -> None:
        """Release connections."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ----------------------------------------------------------------------------------- owner

    def _begun(self, source: str) -> StreamLog:
        told = self.store.read_one(*MARK), self.store.read_one(LOGS, source.encode())
        if told == self._told:
            return self.stream_log
        mark = None if told[0] is None else Mark.from_json(told[0])
        found = None if told[1] is None else StreamLog.from_json(told[1])
        if mark is not None and not mark.of_log:
            raise Conflict(
                f"the states of this store are written by {mark.writer} of {mark.place}",
                where=self.store.where,
                hint="They were taken over: what has no journal needs a store of its own.",
            )
        if mark is None or found is None:
            raise Conflict(
                f"no states of {source!r} were begun that need no journal",
                where=self.store.where,
                hint=f"Once: skewless online begin {source} --stream ARN, or skewless flink run",
            )
        self._told = told
        return found

    # ----------------------------------------------------------------------------------- units

    def _keep(self, records: Sequence[LaneRecord]) -> None:
        """Keep some records as one, or each half of them where they are too much."""
        for attempt in range(1, ATTEMPTS + 1):
            unit = Together(self.store)
            self._aside = self._aside if attempt == 1 else {}  # others may have set states aside
            try:
                last = self._fill(unit, records)
            except _Vanished:
                if attempt < ATTEMPTS:
                    continue
                raise
            if len(records) > 1 and self._is_too_much(unit):
                half = len(records) // 2
                self._keep(records[:half])
                self._keep(records[half:])
                return
            if unit.commit():
                self._reached.update(last)
                return
            pause(attempt)
        raise Conflict(
            "others change the same states all the time",
            where=self.store.where,
            hint="Fewer writers at once (MaximumConcurrency of functions, parallelism of a job), or"
            " a stream that is partitioned by the key of the entity.",
        )

    def _is_too_much(self, unit: Together) -> bool:
        size = sum(len(value or b"") for *_, old, new in unit.changes for value in (old, new))
        return len(unit.changes) > self.store.capabilities.together or size > MOST_BYTES

    def _fill(self, unit: Together, records: Sequence[LaneRecord]) -> dict[bytes, int]:
        """Write what some records change, but for those kept before; return how far lanes come."""
        source, now = self.source, self.clock.now()
        lanes = lanes_table(source.name)
        keys = list(dict.fromkeys(each.lane for each in records))
        reached = dict(zip(keys, unit.read(lanes, keys), strict=True))
        last = {lane: -1 if number is None else int(number) for lane, number in reached.items()}
        self._miss(last)
        new = []
        for each in records:
            if each.number > last[each.lane]:
                last[each.lane] = each.number
                new.append(each)
        changed = dict.fromkeys(each.lane for each in new)
        unit.write(lanes, [(lane, b"%d" % last[lane]) for lane in changed])
        admitted = self._admitted(new, now)
        set_aside(unit, source, admitted.rejected, now)
        if len(admitted.event):
            for layout in self.stream_log.layouts:
                self._update(unit, layout, admitted, now)
        return last

    def _miss(self, last: dict[bytes, int]) -> None:
        """Refuse to go on where lanes have not reached what was seen of them before."""
        for lane, number in last.items():
            if number < self._reached.get(lane, number):
                raise CorruptData(
                    "the store has lost what was kept there: it is an older copy of itself",
                    got=f"record {number} of {lane.decode(errors='replace')}, the last it holds",
                    expected=f"record {self._reached[lane]} or a later one",
                    where=self.store.where,
                )
        if len(self._reached) > MOST_LANES:
            self._reached = {}
        self._reached.update(last)

    def _admitted(self, records: Sequence[LaneRecord], now: int) -> ValidRows:
        """Return the rows that records hold."""
        source, rejected = self.source, list[Rejected]()
        told = [each for each in records if each.value is not None]
        batch = self._messages.batch(
            [Record(0, n, r.key, r.value, r.arrived, r.headers) for n, r in enumerate(told)],
            [str(n) for n in range(len(told))],
            b"",
        )
        fit = validate(source, batch.rows, now=now, backdate=False)
        names = {name for layout in self.stream_log.layouts for name in layout.entity.key_names}
        fit = without_long_keys(fit, sorted(names))
        places = [int(batch.origin(row)) for row in range(len(batch.rows))]
        for each in fit.rejected:
            at = _origin(told[places[each.row]])
            rejected.append(replace(each, reason=f"{each.reason} ({at})"))
        for poison in batch.poison:
            text = poison.raw.decode(errors="backslashreplace")[:2000]
            at = _origin(told[int(poison.origin)])
            rejected.append(Rejected(-1, f"{poison.reason} ({at})", text))
        for gone in records:
            if gone.value is None and not gone.expired:
                why = f"a deletion, which needs a row id and the journal ({_origin(gone)})"
                key = (gone.key or b"").decode(errors="replace")
                rejected.append(Rejected(-1, why, row_text(key)))
        known = fit.known
        if fit.now is not None:
            bad = {each.row for each in fit.rejected}
            taken = [place for row, place in enumerate(places) if row not in bad]
            known = np.array([told[place].known_at for place in taken], np.int64)
        return replace(fit, known=known, rejected=rejected)

    def _update(self, unit: Together, layout: StateLayout, rows: ValidRows, now: int) -> None:
        """Bring the states of one layout up to date."""
        none = np.zeros(len(rows.event), np.int64)
        late, newest = none.astype(bool), max(int(rows.event.max()), int(rows.known.max()))
        arrivals = Arrivals(
            rows.batch, rows.event, rows.known, late, none, None, [], 0, present=min(now, newest)
        )
        # Rows are numbered behind all that these states hold: the order in which they come to them.
        codec, names = KeyCodec(layout.entity), layout.entity.key_names
        given = [row for row in python_rows(rows.batch, names) if None not in row.values()]
        found = unit.read(layout.table, [codec.encode(row) for row in given])
        first = 1 + max((read_header(state).sequence for state in found if state), default=0)
        places = _Places(unit, self._fitting(unit), self._aside)
        update(self, places, layout, arrivals, first, rebuild=_refuse_vanished)

    def _fitting(self, unit: Together) -> oversize.FittingRows:
        most = self.store.capabilities.max_value_bytes or 0
        return oversize.FittingRows(unit, unit, most, self._aside)


@dataclass(frozen=True)
class _Places(Places):
    """Where states are; those set aside are looked up once in the life of a function."""

    aside: dict[str, dict[bytes, int]]

    def set_aside(self, table: str) -> Collection[bytes]:
        if table not in self.aside:
            self.aside[table] = oversize.set_aside(self.journal, table)
        return self.aside[table]


class _Vanished(CorruptData):
    """States are missing of entities that had one."""


def _refuse_vanished(layout: StateLayout, _rows: Any, _replaced: Any, keys: set[bytes]) -> Any:
    raise _Vanished(
        "states are missing of entities that had one",
        got=", ".join(repr(key[:40]) for key in sorted(keys)[:5]),
        where=layout.table,
        hint="Restore the table of DynamoDB to a time before, or begin another store: a function"
        " that reads the stream from its first record builds them again.",
    )


def _messages(source: Source, folder: Path) -> Messages:
    """Return what decodes the values of records: as the source's stream says, else JSON."""
    stream = source.stream or Kinesis(source.name)
    options = dict(stream.options.get("options") or {})
    if stream.kind == Kafka.kind:  # secrets of a schema registry among them
        options = dict(expand(options, f"options of the stream of {source.name}"))
    made = Messages(stream, f"stream of {source.name}", options, folder)
    made.typed(source.columns)
    return made


def _origin(record: LaneRecord) -> str:
    return f"record {record.number} of {record.lane.decode(errors='replace')}"

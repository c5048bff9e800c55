"""What the workers of a distributed engine do: pure tasks over rows, from plan to features.

    read -> [rows of one row id meet: corrections] -> rows and spine of a key meet: features -> end

Each is called with the rows of a partition and gives rows; what is counted is counted by the local
engine, over the rows of some keys in place of all.
"""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from skewless.clock import ALWAYS, NEVER
from skewless.definitions.tables import Frame
from skewless.engines.base import Ints
from skewless.engines.given_spine import spine_columns, spine_times
from skewless.engines.local import LocalEngine
from skewless.engines.outputs import outputs_of
from skewless.engines.row_form import (
    BUCKET,
    DELETED,
    EVENT,
    HASH,
    KNOWN,
    ROWS_A_BATCH,
    SIDE,
    SPINE_SIDE,
    TIEBREAK,
    UNTIL,
    RowForm,
    SpooledRows,
    buckets_of,
    hashes_of,
)
from skewless.engines.shares import Share
from skewless.engines.shipping import Batches, recast, shippable
from skewless.plan.retrieval import RetrievalPlan
from skewless.stores.offline.history import History, HistoryChunk
from skewless.stores.offline.tables.frame import FrameReader

SHARE, TIME, ROW = "share", "_time", "_row"
SHARES = pa.schema([(SHARE, pa.binary())])
TIMES = pa.schema([("first", pa.int64()), ("last", pa.int64())])


@dataclass(frozen=True)
class ReadRows:
    """Rows of a source out of shares of its history.

    Attributes:
        form: of the rows.
        keys: columns that say where a row belongs; rows where one is null belong nowhere.
        start: rows before it do not matter; None: all do.
        end: rows from it on do not matter.
    """

    form: RowForm
    keys: tuple[str, ...]
    start: int | None
    end: int | None

    @property
    def schema(self) -> pa.Schema:
        """The rows as they travel."""
        return self.form.schema

    @property
    def columns(self) -> list[str]:
        """The columns that are read: all, for the hash of the content."""
        return list(self.form.source.columns)

    def __call__(self, batches: Batches) -> Batches:
        """Yield the rows of shares."""
        start, end = (None, None) if self.form.source.row_id else (self.start, self.end)
        for batch in batches:
            for data in batch.column(SHARE).to_pylist():
                share: Share = pickle.loads(data)
                for chunk in share.chunks(self.columns, start, end):
                    yield from self.rows_of(chunk)

    def rows_of(self, chunk: HistoryChunk) -> Batches:
        """Yield the rows of a chunk that count or that correct others."""
        source = self.form.source
        table, keep = chunk.table, ~chunk.late
        if source.row_id:
            has_time = chunk.event != ALWAYS
            keep &= has_time if chunk.deleted is None else has_time | chunk.deleted
            # A row whose id is null has no other versions, wherever it goes.
            bucket = buckets_of([table[name] for name in source.row_id], len(keep))
        else:
            keep &= (chunk.event != ALWAYS) & _has_keys([table[name] for name in self.keys])
            if self.start is not None:
                keep &= chunk.event >= self.start
            if self.end is not None:
                keep &= chunk.event < self.end
            bucket = buckets_of([table[name] for name in self.keys], len(keep))
        columns = [name for name in source.columns if name != source.known_time]
        numbers = {
            EVENT: chunk.event,
            KNOWN: chunk.known,
            TIEBREAK: chunk.tiebreak,
            HASH: hashes_of(table, columns),
            UNTIL: np.full(len(bucket), NEVER, np.int64),
            BUCKET: bucket,
        }
        found = self.form.batch(table, numbers, chunk.deleted)
        yield from _pieces(found if keep.all() else found.filter(pa.array(keep)))


@dataclass(frozen=True)
class TakeRows:
    """Rows of a source's table that an engine has read by itself.

    Attributes:
        read: makes the rows that travel of them.
        options: ``timezone`` and ``ambiguous``, as of the table.
    """

    read: ReadRows
    options: tuple[tuple[str, str], ...]

    @property
    def schema(self) -> pa.Schema:
        """The rows as they travel."""
        return self.read.schema

    def __call__(self, batches: Batches) -> Batches:
        """Yield the rows."""
        for batch in batches:
            zone = dict(self.options)
            frame = Frame(
                pa.Table.from_batches([batch]),
                timezone=zone.get("timezone"),
                ambiguous=zone.get("ambiguous"),
            )
            history = History(self.read.form.source, FrameReader(frame))
            for chunk in history.versions(self.read.columns):
                yield from self.read.rows_of(chunk)


@dataclass(frozen=True)
class DecideCorrections:
    """Rows of a source, all those of a row id together, with when each is replaced.

    Attributes:
        form: of the rows.
        keys, start, end: as of `ReadRows`; rows that do not matter or delete others end here.
        memory: bytes of rows to hold, see `SpooledRows`.
    """

    form: RowForm
    keys: tuple[str, ...]
    start: int | None
    end: int | None
    memory: int

    @property
    def schema(self) -> pa.Schema:
        """The rows as they travel."""
        return self.form.schema

    def __call__(self, batches: Batches) -> Batches:
        """Yield the rows that have a time and a key; a re-delivery never counts, and says so."""
        with SpooledRows(self.form, self.memory) as rows:
            for batch in batches:
                rows.add(batch)
            rows.end()
            for piece, until in rows.decided():
                event = piece[EVENT].to_numpy()
                places = [self.form.columns.index(name) for name in self.keys]
                keys = [pa.chunked_array([piece[f"r{place}"]]) for place in places]
                keep = (event != ALWAYS) & _has_keys(keys)
                keep &= ~piece[DELETED].to_numpy(zero_copy_only=False)
                if self.start is not None:
                    keep &= event >= self.start
                if self.end is not None:
                    keep &= event < self.end
                found = piece.drop_columns([UNTIL, BUCKET])
                found = found.append_column(UNTIL, pa.array(until))
                bucket = buckets_of(keys, len(event))
                found = found.append_column(BUCKET, pa.array(bucket))
                yield from _pieces(found.select(self.schema.names).filter(pa.array(keep)))


@dataclass(frozen=True)
class SpineForm:
    """A spine on its way: its own columns, what is asked for, and the features found so far.

    Attributes:
        given: types of its own columns, which nothing looks at: ``s0``, ``s1``, ...
        asked: join keys and request fields: ``k0``, ``k1``, ... of canonical types, by name.
        found: types of features, by full reference: ``f0``, ``f1``, ...
    """

    given: tuple[pa.DataType, ...]
    asked: tuple[tuple[str, pa.DataType], ...]
    found: tuple[tuple[str, pa.DataType], ...] = ()

    @property
    def schema(self) -> pa.Schema:
        """The spine as it travels."""
        own = [(f"s{at}", dtype) for at, dtype in enumerate(self.given)]
        own += [(f"k{at}", shippable(dtype)) for at, (_, dtype) in enumerate(self.asked)]
        own += [(f"f{at}", shippable(dtype)) for at, (_, dtype) in enumerate(self.found)]
        numbers = [(TIME, pa.int64()), (ROW, pa.int64()), (BUCKET, pa.int64())]
        return pa.schema([*own, *numbers, (SIDE, pa.int8())])

    def asked_of(self, table: pa.Table) -> pa.Table:
        """Return join keys and request fields under their names."""
        columns = {
            name: recast(table[f"k{at}"].combine_chunks(), dtype)
            for at, (name, dtype) in enumerate(self.asked)
        }
        return pa.table(columns) if columns else pa.table({"_": pa.nulls(table.num_rows)})

    def features_of(self, table: pa.Table) -> dict[str, pa.Array]:
        """Return the features found so far, by full reference."""
        return {
            reference: recast(table[f"f{at}"].combine_chunks(), dtype)
            for at, (reference, dtype) in enumerate(self.found)
        }

    def batch(
        self, own: Sequence[pa.Array], asked: pa.Table, times: Ints, rows: Ints
    ) -> pa.RecordBatch:
        """Return rows of a spine as they travel, with no features yet."""
        columns = [*own]
        columns += [recast(_one(asked[name]), shippable(dtype)) for name, dtype in self.asked]
        columns += [pa.array(times), pa.array(rows), pa.array(rows)]
        columns.append(pa.array(np.full(len(rows), SPINE_SIDE, np.int8)))
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)


@dataclass(frozen=True)
class TakeSpine:
    """The rows of a frame as a spine: times and keys in canonical types, beside what they were.

    Attributes:
        plan: what is wanted.
        names: of the frame's columns, which come as ``s0``, ``s1``, ...
        form: of the spine.
    """

    plan: RetrievalPlan
    names: tuple[str, ...]
    form: SpineForm

    @property
    def schema(self) -> pa.Schema:
        """The spine as it travels."""
        return self.form.schema

    def __call__(self, batches: Batches) -> Batches:
        """Yield the spine."""
        first = 0
        for batch in batches:
            table = pa.Table.from_batches([batch]).rename_columns(list(self.names))
            asked = spine_columns(table, self.plan.selection)
            times = spine_times(table, self.plan.timestamp)
            rows = first + np.arange(batch.num_rows, dtype=np.int64)
            yield self.form.batch(batch.columns, asked, times, rows)
            first += batch.num_rows


@dataclass(frozen=True)
class FindTimes:
    """The least and the greatest time of a spine."""

    schema = TIMES

    def __call__(self, batches: Batches) -> Batches:
        """Yield a row; none where there is no spine."""
        bounds = [
            (times.min(), times.max())
            for times in (batch.column(TIME).to_numpy() for batch in batches)
            if len(times)
        ]
        if bounds:
            low, high = zip(*bounds, strict=True)
            yield pa.RecordBatch.from_pydict({"first": [min(low)], "last": [max(high)]}, TIMES)


@dataclass(frozen=True)
class PutBuckets:
    """A spine, each row beside the rows of its key.

    Attributes:
        form: of the spine.
        keys: the join keys, as the spine names them.
    """

    form: SpineForm
    keys: tuple[str, ...]

    @property
    def schema(self) -> pa.Schema:
        """The spine as it travels."""
        return self.form.schema

    def __call__(self, batches: Batches) -> Batches:
        """Yield the spine."""
        for batch in batches:
            asked = self.form.asked_of(pa.Table.from_batches([batch]))
            bucket = buckets_of([asked[name] for name in self.keys], batch.num_rows)
            # Rows without a key need no others: they go anywhere.
            bucket = np.where(bucket == 0, batch.column(ROW).to_numpy(), bucket)
            at = batch.schema.get_field_index(BUCKET)
            yield batch.set_column(at, BUCKET, pa.array(bucket))


@dataclass(frozen=True)
class Retrieve:
    """The features of some views of one entity over one source, beside the spine.

    Attributes:
        plan: of these features alone; its outputs are called by their full references.
        rows: form of the rows.
        spine: form of the spine that comes in.
        memory: bytes of rows to hold, for rows on their way and for those of windows.
    """

    plan: RetrievalPlan
    rows: RowForm
    spine: SpineForm
    memory: int

    @property
    def made(self) -> SpineForm:
        """The form of the spine that comes out."""
        more = [(each.name, each.dtype.arrow()) for each in self.plan.selection.outputs]
        return dataclasses.replace(self.spine, found=(*self.spine.found, *more))

    @property
    def schema(self) -> pa.Schema:
        """The spine as it travels."""
        return self.made.schema

    def __call__(self, batches: Batches) -> Batches:
        """Yield the spine of a partition with the features; rows and spine come in any order."""
        own = self.spine.schema
        parts: list[pa.RecordBatch] = []
        with SpooledRows(self.rows, self.memory) as rows:
            for batch in batches:
                is_row = batch.column(SIDE).to_numpy() != SPINE_SIDE
                if not is_row.all():
                    parts.append(batch.select(own.names).filter(pa.array(~is_row)).cast(own))
                if is_row.any():
                    rows.add(batch.filter(pa.array(is_row)))
            rows.end()
            spine = pa.Table.from_batches(parts, own).combine_chunks()
            if not spine.num_rows:
                return
            times = spine[TIME].to_numpy()
            asked, engine = self.spine.asked_of(spine), LocalEngine(memory=self.memory)
            histories = {self.rows.source.name: rows}
            found = engine.retrieve(self.plan, asked, times, histories).columns
        for at, (reference, dtype) in enumerate(self.made.found):
            if reference in found:
                column = recast(_one(found[reference]), shippable(dtype))
                spine = spine.append_column(f"f{at}", column)
        yield from spine.select(self.schema.names).to_batches(max_chunksize=ROWS_A_BATCH)


@dataclass(frozen=True)
class Finish:
    """The columns that are asked for, on-demand features among them: ``o0``, ``o1``, ...

    Attributes:
        plan: what is wanted.
        form: of the spine with all features.
    """

    plan: RetrievalPlan
    form: SpineForm

    @property
    def schema(self) -> pa.Schema:
        """The frame's own columns, the outputs, and the number of the row."""
        own = [(f"s{at}", dtype) for at, dtype in enumerate(self.form.given)]
        outputs = self.plan.selection.outputs
        own += [(f"o{at}", shippable(each.dtype.arrow())) for at, each in enumerate(outputs)]
        return pa.schema([*own, (ROW, pa.int64())])

    def __call__(self, batches: Batches) -> Batches:
        """Yield the finished rows."""
        for batch in batches:
            table = pa.Table.from_batches([batch])
            asked, times = self.form.asked_of(table), table[TIME].to_numpy()
            features = self.form.features_of(table)
            found = outputs_of(self.plan.selection, features, asked, times)
            columns = [batch.column(f"s{at}") for at in range(len(self.form.given))]
            columns += [
                recast(_one(found[each.name]), shippable(each.dtype.arrow()))
                for each in self.plan.selection.outputs
            ]
            columns.append(batch.column(ROW))
            yield pa.RecordBatch.from_arrays(columns, schema=self.schema)


def _has_keys(keys: Sequence[pa.ChunkedArray]) -> np.ndarray | bool:
    """Return which rows have no null among their keys."""
    found: np.ndarray | bool = True
    for column in keys:
        if column.null_count:
            found = found & np.asarray(_one(column).is_valid())
    return found


def _pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    for first in range(0, batch.num_rows, ROWS_A_BATCH):
        yield batch.slice(first, ROWS_A_BATCH)


def _one(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column

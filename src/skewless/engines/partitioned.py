"""An engine of many processes: what it is asked for is four verbs over rows.

    class MyEngine(PartitionedEngine[MyRows]):
        kind = "mine"
        def rows(self, batches, schema): ...      # rows of this process, as rows of the engine
        def map(self, rows, task): ...            # each partition through a task
        def exchange(self, sides, task): ...      # rows of equal buckets meet, then a task
        def collect(self, rows): ...              # all rows, here

The stages of a plan, the values and their bits are the same for all of them: they come of
`engines.tasks`, which the workers call.

    shares -> ReadRows -> [exchange by row id: DecideCorrections] -+
    spine  -> PutBuckets ------------------------------------------+-> exchange by key: Retrieve
              (again for each entity and source, beside the features so far) -> Finish

**Every such engine guarantees** that a task sees all rows of a bucket, and each row once in what is
kept, however often a partition is computed. Tasks are pure: what a worker did that died is done
again. Rows may come to a task in any order.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar, cast

import pyarrow as pa

from skewless.definitions import Entity, Source
from skewless.engines.base import Engine, Ints, Progress, Retrieved
from skewless.engines.given_spine import spine_times
from skewless.engines.history import SourceHistory
from skewless.engines.local.scan import columns_of
from skewless.engines.row_form import ROWS_A_BATCH, RowForm
from skewless.engines.shares import shares_of
from skewless.engines.shipping import Task, packed, recast
from skewless.engines.tasks import (
    ROW,
    SHARES,
    DecideCorrections,
    FindTimes,
    Finish,
    PutBuckets,
    ReadRows,
    Retrieve,
    SpineForm,
    TakeSpine,
)
from skewless.plan.retrieval import (
    RetrievalPlan,
    history_names,
    needed_aggregates,
    needed_times,
    plan_retrieval,
    rows_of,
)
from skewless.plan.selection import NeededView, Output
from skewless.state.layout import filter_of
from skewless.stores.offline.history import History

Rows = TypeVar("Rows")


class PartitionedEngine(Engine, Generic[Rows]):
    """An engine whose rows are spread over processes.

    Args:
        memory: about how many bytes of rows a task holds; beyond it they are in temporary files.
            No value depends on it.
    """

    def __init__(self, *, memory: int = 256 << 20) -> None:
        self.memory = memory

    @abstractmethod
    def rows(self, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Rows:
        """Return rows of this process as rows of the engine, spread over partitions."""

    @abstractmethod
    def map(self, rows: Rows, task: Task) -> Rows:
        """Return what a task makes of each partition."""

    @abstractmethod
    def exchange(self, sides: Sequence[Rows], task: Task) -> Rows:
        """Return what a task makes of partitions in which rows of equal ``_bucket`` meet.

        A column that only one side has is null, or anything, in the rows of the other.
        """

    @abstractmethod
    def collect(self, rows: Rows) -> pa.Table:
        """Return all rows, here."""

    # ------------------------------------------------------------------------------ training sets

    def retrieve(
        self,
        plan: RetrievalPlan,
        spine: pa.Table,
        times: Ints,
        histories: Mapping[str, SourceHistory],
        progress: Progress | None = None,
    ) -> Retrieved:
        """Carry out a plan: the spine's keys and times go out, the features come back."""
        outputs = plan.selection.outputs
        if progress is not None:
            progress(f"engine {self.kind}", 0.0)
        form = SpineForm((), self._asked(plan))
        bounds = (int(times.min()), int(times.max())) if len(times) else (0, 0)
        given = self.rows(_spine_batches(form, spine, times), form.schema)
        table = self.collect(self._finished(plan, form, given, histories, bounds)).sort_by(ROW)
        if progress is not None:
            progress("done", 1.0)
        columns = {
            each.name: recast(table[f"o{at}"].combine_chunks(), each.dtype.arrow())
            for at, each in enumerate(outputs)
        }
        return Retrieved(columns)

    def retrieve_rows(
        self,
        plan: RetrievalPlan,
        given: Rows,
        columns: pa.Schema,
        histories: Mapping[str, SourceHistory],
    ) -> Rows:
        """Return a spine of the engine's own with the features beside it.

        Args:
            plan: what is wanted.
            given: the spine.
            columns: of the spine, in their order.
            histories: as for `retrieve`.

        Returns:
            The spine's columns as ``s0``, ``s1``, ..., the features as ``o0``, ``o1``, ...
        """
        form = SpineForm(tuple(columns.types), self._asked(plan))
        take = TakeSpine(plan, tuple(columns.names), form)
        _check_time(columns.field(plan.timestamp))
        taken = self.map(given, take)
        found = self.collect(self.map(taken, FindTimes())).to_pydict()
        bounds = (min(found["first"], default=0), max(found["last"], default=0))
        return self._finished(plan, form, taken, histories, bounds)

    def _finished(
        self,
        plan: RetrievalPlan,
        form: SpineForm,
        given: Rows,
        histories: Mapping[str, SourceHistory],
        bounds: tuple[int, int],
    ) -> Rows:
        """Return the spine after all stages."""
        for name, part in parts_of(plan):
            first = part.selection.views[0].view
            start, end = needed_times(part.steps, *bounds)
            history = cast(History, histories[name])
            own = form_of(history.source, first.row_entity, _columns_in_use(part))
            rows = self.history_rows(history, own, first.row_entity.key_names, start, end)
            spine = self.map(given, PutBuckets(form, first.asked_entity.key_names))
            task = Retrieve(part, own, form, self.memory)
            given, form = self.exchange([spine, rows], task), task.made
        return self.map(given, Finish(plan, form))

    def read(self, history: History, task: ReadRows) -> Rows:
        """Return the rows of a history; an engine that has readers of its own may use them.

        Args:
            history: of a source.
            task: makes rows of its shares.
        """
        shares = shares_of(history, task.columns, task.start, task.end)
        return self.map(self.rows(share_batches(shares), SHARES), task)

    def history_rows(
        self,
        history: History,
        form: RowForm,
        keys: tuple[str, ...],
        start: int | None = None,
        end: int | None = None,
    ) -> Rows:
        """Return the rows of a history that may count, with when each is replaced.

        Args:
            history: of a source.
            form: of the rows, see `form_of`.
            keys: columns that say where a row belongs.
            start: rows before it do not matter, microseconds; None: all do.
            end: rows from it on do not matter.
        """
        rows = self.read(history, ReadRows(form, keys, start, end))
        if history.source.row_id:
            rows = self.exchange([rows], DecideCorrections(form, keys, start, end, self.memory))
        return rows

    def stream(self, rows: Rows) -> Iterator[pa.RecordBatch]:
        """Yield all rows, here, a part at a time where the engine can do that."""
        yield from self.collect(rows).to_batches(max_chunksize=ROWS_A_BATCH)

    @staticmethod
    def _asked(plan: RetrievalPlan) -> tuple[tuple[str, pa.DataType], ...]:
        """Return name and type of what a plan asks of each row of the spine."""
        selection = plan.selection
        types = selection.join_keys | {name: t for name, (_, t) in selection.constants.items()}
        types |= {request.name: request.dtype for request in selection.requests}
        return tuple((name, dtype.arrow()) for name, dtype in types.items())


def _check_time(field: pa.Field) -> None:
    """Raise `NaiveTime` for a column of times that carry no zone."""
    if pa.types.is_timestamp(field.type):
        spine_times(pa.table({field.name: pa.array([0]).cast(field.type)}), field.name)


def form_of(source: Source, entity: Entity, columns: Iterable[str]) -> RowForm:
    """Return how rows of a source travel: with keys, row id, and the columns in use."""
    names = dict.fromkeys([*entity.key_names, *source.row_id, *columns])
    return RowForm(source, tuple(names))


def parts_of(plan: RetrievalPlan) -> Iterator[tuple[str, RetrievalPlan]]:
    """Yield a plan for each history and entity of a plan, with the name of the history.

    Features of a view need no other view; what they are called are their full references.
    """
    names = history_names(plan)
    together: dict[Any, list[NeededView]] = {}
    for need in plan.selection.views:
        view = need.view
        keys = (view.row_entity.key_names, view.asked_entity.key_names)
        together.setdefault((names[rows_of(view.source)], keys), []).append(need)
    for (name, _), needs in together.items():
        outputs = tuple(
            Output(need.reference(each), need.view.name, need.version, each, need.view.dtypes[each])
            for need in needs
            for each in need.features
        )
        alone = dataclasses.replace(
            plan.selection,
            outputs=outputs,
            views=tuple(needs),
            on_demand=(),
            requests=(),
            entities=(needs[0].view.asked_entity,),
        )
        yield name, plan_retrieval(alone, timestamp=plan.timestamp, as_of=plan.as_of)


def _columns_in_use(plan: RetrievalPlan) -> list[str]:
    """Return the names of the source columns that the features of a plan are computed from."""
    used = []
    for need in plan.selection.views:
        for aggregate in needed_aggregates(need):
            used += [each for each in (aggregate.column, aggregate.by) if each is not None]
            where = filter_of(need.view, aggregate)
            used += [] if where is None else [where]
    return sorted(columns_of(used))


def _spine_batches(form: SpineForm, spine: pa.Table, times: Ints) -> Iterator[pa.RecordBatch]:
    """Yield what is asked for of a spine, with the number of each row."""
    import numpy as np

    for first in range(0, len(times), ROWS_A_BATCH):
        some = times[first : first + ROWS_A_BATCH]
        rows = np.arange(first, first + len(some), dtype=np.int64)
        yield form.batch((), spine.slice(first, len(some)), some, rows)


def share_batches(shares: Iterable[object]) -> Iterator[pa.RecordBatch]:
    """Yield a batch for each share: one row that holds it."""
    for share in shares:
        yield pa.RecordBatch.from_pydict({"share": [packed(share)]}, SHARES)

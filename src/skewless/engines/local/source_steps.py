"""The steps of one source, carried out in one scan of its history.

Every step takes the rows it needs as they are read: `LatestStep` keeps the newest row of each
query, `WindowStep` the rows of the asked-for keys. Keys with corrected rows are computed over
windows in both, because there a row can stop counting.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.engines.local.external_sort import WindowRows
from skewless.engines.local.latest import LatestReader
from skewless.engines.local.scan import RowReader, Scan
from skewless.engines.local.spine import FilledColumn, Ints, SpineIndex
from skewless.engines.local.windows import Key, run_windows
from skewless.plan.retrieval import LatestStep, Step, WindowStep, needed_times
from skewless.state.layout import expression_key

Found = dict[Key, pa.Array]
ReaderPlace = tuple[tuple[str, ...], tuple[str, ...], int]
"""Join keys as columns and as asked for, and the side on which windows are closed."""
_SHARE_OF_CORRECTED = 4


@dataclass(eq=False)
class _Corrected:
    """The keys of one entity that have corrected rows, and the steps that pass them over."""

    keys: Ints
    mask: pa.Array
    steps: list[LatestStep] = field(default_factory=list)

    @property
    def step(self) -> WindowStep:
        """What the steps want, as aggregations over windows."""
        wanted = tuple(item for step in self.steps for item in step.wanted)
        return WindowStep(self.steps[0].source, self.steps[0].entity, wanted, self.steps[0].keys)


class SourceSteps:
    """The steps of one source.

    Args:
        scan: reads the source.
        steps: to carry out.
        indexes: keys and times of the spine, by entity.
        memory: about how many bytes the rows of windows may take.
    """

    def __init__(
        self,
        scan: Scan,
        steps: Sequence[Step],
        indexes: Mapping[tuple[str, ...], SpineIndex],
        memory: int,
    ) -> None:
        self._scan, self._steps, self._indexes = scan, steps, indexes
        self._memory = memory
        self._latest: dict[int, LatestReader] = {}
        self._windows: dict[int, WindowRows] = {}
        self._corrected: dict[ReaderPlace, _Corrected] = {}
        self._over_windows: dict[ReaderPlace, WindowRows] = {}

    def run(self) -> Iterator[tuple[Step, Found, int]]:
        """Yield for each step an array per aggregate, an element per spine row: null without a key.

        And the number of queries that found nothing because it was not known yet.
        """
        with ExitStack() as stack:
            self._scan.run(self._readers(stack))
            corrected = {
                place: _over_windows(rows, self._index(rows.step))
                for place, rows in self._over_windows.items()
            }
            for number, step in enumerate(self._steps):
                if isinstance(step, WindowStep):
                    yield step, _over_windows(self._windows.pop(number), self._index(step)), 0
                else:
                    reader = self._latest.pop(number)
                    yield step, *self._newest(step, reader, corrected.get(_place(step), {}))

    def _readers(self, stack: ExitStack) -> list[RowReader]:
        """Return what takes the rows: a reader for each step, and one for corrected keys."""
        windows: dict[int, WindowStep] = {}
        for number, step in enumerate(self._steps):
            if isinstance(step, WindowStep):
                windows[number] = step
                continue
            keys = self._with_corrections(step)
            self._latest[number] = LatestReader(self._scan, self._index(step), step, keys)
        some = {place: each for place, each in self._corrected.items() if len(each.keys)}
        for_some = self._memory // (_SHARE_OF_CORRECTED if windows else 1) if some else 0
        for number, step in windows.items():
            rows = self._rows(step, (self._memory - for_some) // len(windows), None)
            self._windows[number] = stack.enter_context(rows)
        for place, each in some.items():
            rows = self._rows(each.step, for_some // len(some), each.keys)
            self._over_windows[place] = stack.enter_context(rows)
        return [*self._latest.values(), *self._windows.values(), *self._over_windows.values()]

    def _rows(self, step: WindowStep, memory: int, only: Ints | None) -> WindowRows:
        index, start = self._index(step), None
        if only is None and len(index.queries.time):
            times = index.queries.time
            start, _ = needed_times([step], int(times.min()), int(times.max()))
        return WindowRows(self._scan, step, index.keys, only=only, start=start, memory=memory)

    def _with_corrections(self, step: LatestStep) -> Ints:
        """Return the codes of keys that have corrected rows, and note who passes them over."""
        place, index = _place(step), self._index(step)
        found = self._corrected.get(place)
        if found is None:
            keys = self._scan.corrected(step.entity, index.keys)
            mask = pa.array(np.isin(index.keys.codes, keys))
            found = self._corrected[place] = _Corrected(keys, mask)
        found.steps.append(step)
        return found.keys

    def _newest(
        self, step: LatestStep, reader: LatestReader, corrected: Found
    ) -> tuple[Found, int]:
        """Return the columns of the newest rows, those of corrected keys put in."""
        index = self._index(step)
        answer = reader.answer()
        none = answer.place < 0
        place = np.maximum(answer.place, 0)
        take = pa.array(place, mask=none)
        columns: Found = {}
        for item in step.wanted:
            aggregate = item.aggregate
            if aggregate.column is None:
                raise ValueError(f"{aggregate!r} has no column")
            indices = take
            if aggregate.expiry is not None:
                age = index.queries.time - step.exclusive - step.offset - answer.event
                indices = pa.array(place, mask=none | (age >= aggregate.expiry))
            column = answer.columns[expression_key(aggregate.column)].take(indices)
            column = column.take(index.places.back)
            if corrected:
                mask = self._corrected[_place(step)].mask
                column = pc.if_else(mask, corrected[item.key], column)
            columns[item.key] = column
        return columns, answer.hidden

    def _index(self, step: Step) -> SpineIndex:
        return self._indexes[step.keys]


def _place(step: Step) -> ReaderPlace:
    return step.entity.key_names, step.keys, step.exclusive


def _over_windows(rows: WindowRows, index: SpineIndex) -> Found:
    """Return an array per aggregate over the rows that were read; they are dropped."""
    wanted, places = rows.step.wanted, index.places
    found = {item.key: FilledColumn(item.aggregate.dtype.arrow(), places) for item in wanted}
    with rows:
        for first, last, some in rows.runs():
            groups = index.queries.groups(first, last)
            for key, part in run_windows(some, groups, wanted, rows.step.exclusive):
                found[key].add(part)
            del some  # before those of the next run are read
    return {item.key: found.pop(item.key).array() for item in wanted}

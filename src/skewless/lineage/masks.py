"""Masks over what was read: values are shown as grants say, and never called present. Pure.

>>> from skewless.definitions.mask import Mask
>>> from skewless.state.status import Status
>>> from skewless.types import Float64
>>> masks = Masks((Mask.of("bucket:10"), None), (Float64, Float64), KeyedHash(b"k" * 32))
>>> rows, statuses, events = masks(([[17.0, 3.0]], [[Status.PRESENT, Status.PRESENT]], [[5, 5]]))
>>> rows, [status.value for status in statuses[0]], events
([[10.0, 3.0]], ['masked', 'present'], [[None, 5]])
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from skewless.access.keyed import KeyedHash
from skewless.definitions.mask import Mask
from skewless.plan.lookup import Found
from skewless.state.status import Status
from skewless.types import DType, python_values

if TYPE_CHECKING:
    import pyarrow as pa


class Masks:
    """How the features of one read are shown to somebody.

    Args:
        masks: of each feature; None: as it is.
        types: of each feature.
        keyed: hashes.
    """

    def __init__(
        self, masks: Sequence[Mask | None], types: Sequence[DType], keyed: KeyedHash
    ) -> None:
        hashed = partial(keyed.of, "mask")
        self._of = [
            (place, partial(_shown, mask, dtype, hashed) if mask.shows(dtype) else _nothing)
            for place, (mask, dtype) in enumerate(zip(masks, types, strict=True))
            if mask is not None
        ]

    @property
    def places(self) -> list[int]:
        """Which features are masked."""
        return [place for place, _ in self._of]

    def __call__(self, found: Found) -> Found:
        """Return values, statuses and event times as they are shown.

        All that is masked has the status ``masked``, whatever it was, but what is building; when
        its newest event was is not told.
        """
        values, statuses, events = ([list(row) for row in rows] for rows in found)
        for row, status, event in zip(values, statuses, events, strict=True):
            for place, shown in self._of:
                event[place] = None
                if status[place] is not Status.BUILDING:
                    row[place], status[place] = shown(row[place]), Status.MASKED
        return values, statuses, events

    def table(self, table: pa.Table, names: Sequence[str]) -> pa.Table:
        """Return a table with the columns of the features, in their order, as they are shown."""
        import pyarrow as pa

        for place, shown in self._of:
            at = table.column_names.index(names[place])
            field = table.schema.field(at)
            if shown is _nothing:
                column: Any = pa.nulls(table.num_rows, field.type)
            else:
                values = [shown(value) for value in python_values(table.column(at))]
                column = pa.array(values, field.type)
            table = table.set_column(at, field, column)
        return table


def _nothing(value: Any) -> None:
    del value


def _shown(mask: Mask, dtype: DType, hashed: Any, value: Any) -> Any:
    return mask.shown(value, dtype, hashed)

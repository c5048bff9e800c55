"""How much a column alone tells of a label: measured, to find the label hiding among features.

>>> import pyarrow as pa
>>> label = pa.array([False, True] * 10)
>>> likeness(pa.array([0.1, 0.9] * 10), label)
Likeness(measure='AUC', score=1.0, rows=20)

Binary labels: the area under the ROC curve of the column alone (of its being null, too).
Other numbers: the greater of Pearson's and Spearman's correlation. Text: the share of rows in
which both say the same, averaged over the label's values. Constant columns tell nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Floats = npt.NDArray[np.float64]

FEWEST_ROWS = 10
SUSPICIOUS = 0.98


@dataclass(frozen=True)
class Likeness:
    """How like a label a column is.

    Attributes:
        measure: ``AUC``, ``correlation``, ``equal`` or ``AUC of being null``.
        score: 1 is the label itself; 0.5 (AUC) or 0 is no likeness.
        rows: over how many rows it was measured.
    """

    measure: str
    score: float
    rows: int

    @property
    def suspicious(self) -> bool:
        """Whether the column is probably the label itself."""
        return self.score >= SUSPICIOUS


def likeness(column: pa.Array, label: pa.Array) -> Likeness | None:
    """Return how like ``label`` a column is; None where it cannot be measured.

    Rows whose label is null are left out. Fewer than ten rows, or a label of one value, say
    nothing.
    """
    import numpy as np
    import pyarrow.compute as pc

    known = pc.is_valid(label)
    column, label = column.filter(known), label.filter(known)
    classes = pc.unique(label).sort()
    if len(label) < FEWEST_ROWS or len(classes) < 2:
        return None
    present = pc.is_valid(column)
    found = _measured(column.filter(present), label.filter(present), classes)
    if len(classes) == 2 and 0 < column.null_count < len(column):
        positive = np.asarray(pc.equal(label, classes[1])).astype(bool)
        score = auc(np.asarray(present).astype(np.float64), positive)
        if found is None or score > found.score:
            found = Likeness("AUC of being null", score, len(label))
    return found


def _measured(column: pa.Array, label: pa.Array, classes: pa.Array) -> Likeness | None:
    """Return the likeness of columns without nulls."""
    import numpy as np
    import pyarrow.compute as pc

    rows = len(label)
    if rows < FEWEST_ROWS or len(pc.unique(label)) < 2:
        return None
    values, wanted = numbers(column), numbers(label)
    if values is None:
        return _equal(column, label)
    if len(classes) == 2:
        positive = np.asarray(pc.equal(label, classes[1])).astype(bool)
        return Likeness("AUC", auc(values, positive), rows)
    if wanted is None:
        return None
    if np.ptp(values) == 0:
        return Likeness("correlation", 0.0, rows)
    straight = _correlation(values, wanted)
    ranked = _correlation(ranks(values), ranks(wanted))
    return Likeness("correlation", max(straight, ranked), rows)


def _equal(column: pa.Array, label: pa.Array) -> Likeness | None:
    """Return in how many rows text columns say the same, averaged over the label's values."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    text = (pa.types.is_string, pa.types.is_large_string)
    if not any(kind(column.type) for kind in text):
        return None
    same = np.asarray(pc.equal(column, label.cast(column.type))).astype(np.float64)
    groups = np.asarray(pc.index_in(label, value_set=pc.unique(label)))
    shares = np.bincount(groups, same) / np.bincount(groups)
    return Likeness("equal", float(shares.mean()), len(label))


def numbers(column: pa.Array) -> Floats | None:
    """Return numbers, flags and times as float64 (infinities at its ends); None for other types."""
    import numpy as np
    import pyarrow as pa

    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        column = column.cast(pa.timestamp("us") if pa.types.is_date(kind) else kind)
        column = column.cast(pa.int64())
    elif pa.types.is_decimal(kind):
        column = column.cast(pa.string())
    elif not (pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return None
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    return np.nan_to_num(np.asarray(column.cast(pa.float64(), safe=False), dtype=np.float64))


def auc(values: Floats, positive: Any) -> float:
    """Return the area under the ROC curve, whichever way the values point: 0.5 to 1.

    By the ranks of the positive rows (Mann and Whitney 1947); ties share their rank.
    """
    import numpy as np

    count = int(np.count_nonzero(positive))
    other = len(positive) - count
    if not count or not other:
        return 0.5
    above = float(ranks(values)[positive].sum()) - count * (count + 1) / 2
    area = above / (count * other)
    return max(area, 1 - area)


def ranks(values: Floats) -> Floats:
    """Return ranks from 1; equal values share the mean of theirs."""
    import numpy as np

    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    means: Floats = (last - (counts - 1) / 2)[place]
    return means


def _correlation(one: Floats, other: Floats) -> float:
    """Return the size of Pearson's correlation; 0 where a side is constant."""
    import numpy as np

    one, other = one / (np.abs(one).max() or 1), other / (np.abs(other).max() or 1)
    one, other = one - one.mean(), other - other.mean()
    size = float(np.sqrt((one * one).sum() * (other * other).sum()))
    return min(1.0, abs(float((one * other).sum())) / size) if size else 0.0

"""In which form an aggregation runs, and what that costs: what plans, `explain` and the docs say.

>>> from skewless.aggregations import aggregation
>>> from skewless.aggregations.windows import Sliding
>>> from skewless.types import Float64, String
>>> print(forms_of(aggregation("mean"), Float64, Sliding(width=60)))
training sets: shared sweep; online: shared numbers; states keep the rows of the window
>>> print(forms_of(aggregation("mode"), String, Sliding(width=60)))
training sets: sweep; online: python; states keep the rows of the window
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from skewless.aggregations.base import AGGREGATIONS, Aggregation, Tile, in_arrays
from skewless.aggregations.windows import Sliding, Window
from skewless.errors import DefinitionError
from skewless.types import Bool, DType, Float64, List, Vector

COSTS = {
    "shared sweep": "each row once, for all such aggregations of a column together",
    "sweep": "each row once",
    "shared numbers": "one pass over the window's rows, for all such aggregations of a column",
    "few rows": "finding the window, and the rows that matter",
    "arrays": "a pass or a sort over the window's rows, as arrays",
    "python": "the window's rows one by one, in Python: the definition itself",
}
"""What each form costs."""


@dataclass(frozen=True)
class Forms:
    """How an aggregation of a column runs over a window.

    Attributes:
        training: in training sets and backfills, a name of `COSTS`.
        online: in an online read, a name of `COSTS`.
        keeps: what states keep of it.
    """

    training: str
    online: str
    keeps: str

    def __str__(self) -> str:
        return f"training sets: {self.training}; online: {self.online}; states keep {self.keeps}"


def forms_of(
    kind: Aggregation, column: DType | None, window: Window, *, grouped: bool = False
) -> Forms:
    """Return the forms in which an aggregation runs.

    Args:
        kind: the aggregation.
        column: the type of its column; None for whole rows.
        window: over which.
        grouped: whether rows are grouped by a text, which leaves no tiles.
    """
    each = _of_each(kind, column)
    training = online = each
    if kind.sweeps(column) and not kind.moves:
        training = "shared sweep" if kind.counts_in(column) else "sweep"
    if kind.counts_in(column):
        online = "shared numbers"
    tile = kind.tile(column) if window.tiled and not grouped else None
    return Forms(training, online, _kept(window, tile))


def _of_each(kind: Aggregation, column: DType | None) -> str:
    """Return the form for the rows of one window, where nothing is shared."""
    if kind.needs is not None:
        return "few rows"
    has_arrays = column is None or in_arrays(column)
    return "arrays" if kind.summarises and has_arrays else "python"


def _kept(window: Window, tile: Tile | None) -> str:
    if tile is not None:
        return "sums of tiles" if tile == "sums" else "rows that decide tiles"
    if window.most_rows is not None:
        return "the newest row" if window.most_rows == 1 else f"{window.most_rows} rows"
    return "the rows of the window" if window.forgets else "every row"


def counted(forms: Iterable[str]) -> str:
    """Return how often each form runs, in words.

    >>> counted(["arrays", "shared sweep", "arrays"])
    '2 by arrays, 1 by shared sweep'
    """
    return ", ".join(f"{count} by {form}" for form, count in Counter(forms).most_common())


def column_for(kind: Aggregation) -> DType:
    """Return the type of column by which an aggregation is shown: numbers, where it takes them."""
    for dtype in (Float64, Bool, List(Float64), Vector(2)):
        try:
            kind.result_type(dtype)
        except DefinitionError:
            continue
        return dtype
    raise DefinitionError(f"{kind.name} takes neither numbers nor conditions, pairs, vectors")


def table() -> str:
    """Return the table of all aggregations, as docs/definitions.md has it."""
    lines = ["| aggregation | in training sets | online | with tiles, states keep |"]
    lines += ["|---|---|---|---|"]
    window = Sliding(width=2, resolution=1)
    for name in sorted(AGGREGATIONS):
        kind = AGGREGATIONS[name].examples()[0]
        found = forms_of(kind, column_for(kind), window)
        try:
            kind.check_window(window)
            keeps = found.keeps
        except DefinitionError:
            keeps = "(takes no resolution)"
        lines.append(f"| `{name}` | {found.training} | {found.online} | {keeps} |")
    return "\n".join(lines)

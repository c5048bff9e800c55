"""How large the states of entities are online: estimated from counts of rows, or as they lie.

>>> size, rows = Spread(412, 1_804, 2_200), Spread(9, 61, 75)
>>> print(StateSize("payments", "card", ("Spend",), 240, size, rows))
Spend (payments by card): 412 B, 1.8 kB, 2.2 kB; 9, 61, 75 rows
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skewless.aggregations.windows import Window
from skewless.definitions import Aggregate, FeatureView
from skewless.durations import format_duration, parse_duration
from skewless.state.layout import StateLayout, filter_of, uses_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

HEAVY_BYTES = 100_000
"""From here on a state is worth a word: a read decodes it, a push writes it."""
_TEXT_BYTES = 16
_SUM_BYTES = 48
_HEAVY_ROWS = 1_000
_RESOLUTIONS = ("1s", "10s", "1m", "5m", "15m", "1h", "6h", "1d", "7d")


@dataclass(frozen=True)
class Spread:
    """A number of each entity: the middle one, the one that 99 % stay below, the largest."""

    median: int
    p99: int
    largest: int

    @classmethod
    def of(cls, numbers: Ints) -> Spread:
        """Return the spread of some numbers, one at least."""
        import numpy as np

        ordered = np.sort(numbers)
        places = (len(ordered) // 2, (len(ordered) - 1) * 99 // 100, -1)
        return cls(*(int(ordered[place]) for place in places))

    def to_dict(self) -> dict[str, int]:
        """Return the spread as plain data."""
        return {"median": self.median, "p99": self.p99, "largest": self.largest}


@dataclass(frozen=True)
class StateSize:
    """How large the states of one source and entity are.

    Attributes:
        source: its name.
        entity: its name.
        views: what they serve.
        entities: how many were looked at.
        size: bytes of a state.
        rows: kept rows of a state.
        advice: what would make heavy ones light.
        index: bytes on disk of the index of the row ids that the source's table holds; 0: none.
    """

    source: str
    entity: str
    views: tuple[str, ...]
    entities: int
    size: Spread
    rows: Spread
    advice: tuple[str, ...] = ()
    index: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the size as plain data."""
        return {
            "source": self.source,
            "entity": self.entity,
            "views": list(self.views),
            "entities": self.entities,
            "bytes": self.size.to_dict(),
            "rows": self.rows.to_dict(),
            "advice": list(self.advice),
            "index_bytes": self.index,
        }

    def __str__(self) -> str:
        sizes = ", ".join(map(bytes_text, self.size.to_dict().values()))
        rows = ", ".join(f"{number:,}" for number in self.rows.to_dict().values())
        line = f"{', '.join(self.views)} ({self.source} by {self.entity}): {sizes}; {rows} rows"
        more = [f"  {advice}" for advice in self.advice]
        if self.index:
            more.append(f"  index of the row ids of its table: {bytes_text(self.index)} on disk")
        return "\n".join([line, *more])


def estimated(
    layout: StateLayout, views: Sequence[FeatureView], counts: Mapping[int | None, Ints]
) -> StateSize:
    """Estimate the states of a layout.

    Rows are counted whether they pass a filter or not, and a text is taken for 16 bytes.

    Args:
        layout: of the states.
        views: that it serves.
        counts: of each entity, how many rows lie in its newest span of so many microseconds; None:
            how many there are.
    """
    import numpy as np

    every = counts[None]
    rows = np.minimum(every, 1)
    tiles = np.zeros(len(every), np.int64)
    for rule in layout.rules:
        inside = counts[rule.window.counted_span]
        kept, summed = rule.window.estimate(inside), 0
        if rule.uses:
            held = np.minimum(inside, rule.window.most_tiles)
            summed = len({use.slot for use in rule.uses if use.decides is None})
            decided = len({use.slot for use in rule.uses if use.decides is not None})
            kept = np.minimum(inside, held * decided)
            tiles += held * summed * _SUM_BYTES
        rows = np.maximum(rows, kept)
    tails = sum(not slot.fixed for slot in layout.slots)
    size = 36 + 4 * tails + rows * (layout.record.itemsize + _TEXT_BYTES * tails) + tiles
    names = tuple(view.name for view in views)
    spread = Spread.of(size)
    advice = tuple(_advice(views, counts)) if spread.p99 > HEAVY_BYTES else ()
    return StateSize(
        layout.source.name, layout.entity.name, names, len(every), spread, Spread.of(rows), advice
    )


def spans_of(layout: StateLayout) -> set[int | None]:
    """Return the spans that `estimated` asks counts for."""
    return {None, *(rule.window.counted_span for rule in layout.rules)}


def _advice(views: Iterable[FeatureView], counts: Mapping[int | None, Ints]) -> Iterable[str]:
    """Yield a resolution for each exact window that makes states heavy."""
    for view in views:
        windows: dict[tuple[Window, str], list[Aggregate]] = {}
        for aggregate in view.aggregates:
            window = aggregate.window
            if window.length is not None and not window.tiled:
                windows.setdefault((window, repr(filter_of(view, aggregate))), []).append(aggregate)
        for (window, _), aggregates in windows.items():
            rows = Spread.of(counts[window.counted_span])
            width = window.length or 0
            resolution = _resolution(width)
            coarse = window.coarse(resolution)
            if rows.p99 > _HEAVY_ROWS and uses_of(coarse, aggregates, view.source):
                yield (
                    f"{view.name}: windows of {format_duration(width)} keep {rows.p99:,}"
                    f' rows of an entity and more; resolution="{resolution}" would keep tiles'
                )


def _resolution(width: int) -> str:
    """Return the finest resolution that makes at most some two hundred tiles of a window."""
    fits = (text for text in _RESOLUTIONS if width <= 200 * parse_duration(text))
    return next(fits, _RESOLUTIONS[-1])


def bytes_text(number: int) -> str:
    """Return a number of bytes as people read it.

    >>> bytes_text(36), bytes_text(2_048), bytes_text(1_500_000)
    ('36 B', '2.0 kB', '1.5 MB')
    """
    for unit, size in (("MB", 1_000_000), ("kB", 1_000)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number} B"

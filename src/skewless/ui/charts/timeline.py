"""The rows behind a value, drawn in time: which counted, and why the others did not.

A row is a mark at its event time, with a line to the moment it came to be known. It counts if its
mark lies in the shaded window and its line ends before the moment that is asked about. Below, the
value builds up row by row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from skewless.clock import SECOND, iso
from skewless.formatting import ago, shown
from skewless.ui.charts.scale import Scale, round_times, round_values
from skewless.ui.charts.svg import element, path_of, picture
from skewless.ui.charts.zoom import LEAST, Stretch

WIDTH, LEFT, RIGHT = 960.0, 64.0, 20.0
TOP, ROWS_HEIGHT, BUILD_HEIGHT, GAP = 30.0, 190.0, 84.0, 34.0
MOST_MARKS = 400
_LABELLED = 16
_FAR = 1e300
_LANES = 6
SHAPES = {
    "counted": "disc", "filtered": "diamond", "not yet known": "waiting", "late": "triangle",
    "superseded by a correction": "cross", "future": "square", "duplicate": "double",
    "expired": "expired", "null value": "ring", "no group": "ring",
}  # fmt: skip
"""Verdict to the shape of its mark; others lie outside of the window and are dots."""


@dataclass(frozen=True)
class Row:
    """A row to draw.

    Attributes:
        number: of its line in the table of rows, which the mark links to.
        event: event time, UTC microseconds.
        known: known time, UTC microseconds.
        verdict: ``counted``, or why it did not count.
        value: what is aggregated; None where whole rows are counted.
    """

    number: int
    event: int
    known: int
    verdict: str
    value: Any


@dataclass(frozen=True)
class Timeline:
    """What is drawn of one aggregation.

    Attributes:
        name: what tells its links from those of another.
        title: what it shows.
        rows: of the entity, in row order.
        after: event times up to this one lie before the window, UTC microseconds; None: no bound.
        until: the greatest event time that may count, UTC microseconds.
        asked: the moment that was asked about, UTC microseconds.
        built: the value of the first row that counted, of the first two, ...; may be empty.
        zoom: the stretch to look at; None: all of it.
        link: an address that shows a stretch instead; None: there is none.
    """

    name: str
    title: str
    rows: Sequence[Row]
    after: int | None
    until: int
    asked: int
    built: Sequence[Any] = ()
    zoom: Stretch | None = None
    link: Callable[[Stretch], str] | None = None

    def shown(self) -> list[Row]:
        """Return the rows that are drawn: those in the picture, the newest of them."""
        seen = self.stretch()
        near = [row for row in self.rows if seen.low <= row.event <= seen.high]
        return near[-MOST_MARKS:]

    def stretch(self) -> Stretch:
        """Return what the picture shows."""
        return self.zoom or self.whole()

    def whole(self) -> Stretch:
        """Return what it shows without a zoom: the window, and what lies near it."""
        counted = [row.event for row in self.rows if row.verdict == "counted"]
        low = self.after
        if low is None or (counted and self.asked - low > 20 * (self.asked - counted[0])):
            # no bound, or one that lies far before the first row that counted
            near = counted or [row.event for row in self.rows if row.event <= self.asked][-12:]
            low = min(near, default=self.asked - 3600 * SECOND)
        span = max(self.asked - low, SECOND)
        return Stretch(low - span // 5, self.asked + span // 8)


def timeline(given: Timeline) -> Markup:
    """Return the picture of a timeline."""
    rows = given.shown()
    seen = given.stretch()
    across = Scale(seen.low, seen.high, LEFT, WIDTH - RIGHT)
    bottom = TOP + ROWS_HEIGHT
    up, names = _heights(rows, bottom)
    numbers = [value for value in given.built if _is_number(value)]
    height = bottom + (GAP + BUILD_HEIGHT if numbers else 0) + 30
    parts = [
        *_window(given, across, bottom),
        *_names(names),
        *_times(given, across, bottom),
        *_asked(given, across, height - 22),
        element("g", *(_tail(row, across, up(row)) for row in rows), class_="tails"),
        element("g", *(_mark(given.name, row, across, up(row)) for row in rows), class_="marks"),
        *_labels(rows, across, up),
    ]
    if numbers:
        parts += _build_up(given, across, bottom + GAP)
    return picture(WIDTH, height, given.title, parts, role="group")


def mark_of(verdict: str) -> Markup:
    """Return the mark of a verdict alone, for a legend."""
    drawn = _shape(verdict, 7.0, 7.0)
    return element("svg", drawn, viewBox="0 0 14 14", class_="key", aria_hidden="true")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _placed(value: float) -> float:
    """Return a number as it is drawn: not so large that a span of such is infinite."""
    return min(max(float(value), -_FAR), _FAR)


class _Up:
    """The height of a row: by its value, or a lane for each value that is no number."""

    def __init__(self, scale: Scale | None, lanes: dict[str, float], middle: float) -> None:
        self.scale, self.lanes, self.middle = scale, lanes, middle

    def __call__(self, row: Row) -> float:
        if self.scale is not None:
            return self.scale(_placed(row.value)) if _is_number(row.value) else self.scale.start
        return self.lanes.get(shown(row.value), self.middle)


def _heights(rows: Sequence[Row], bottom: float) -> tuple[_Up, list[tuple[float, str]]]:
    """Return the height of rows, and what the axis says at which."""
    numbers = [_placed(row.value) for row in rows if _is_number(row.value)]
    if numbers:
        least, most = min(numbers), max(numbers)
        margin = (most - least) * 0.14 or max(abs(most) * 0.1, 1.0)
        scale = Scale(least - margin, most + margin, bottom - 8, TOP + 8)
        values = round_values(scale.low, scale.high, 4)
        return _Up(scale, {}, 0), [(scale(value), f"{value:g}") for value in values]
    texts = list(dict.fromkeys(shown(row.value) for row in rows if row.value is not None))
    middle = (TOP + bottom) / 2
    if not 0 < len(texts) <= _LANES:
        return _Up(None, {}, middle), []
    lanes = Scale(-0.5, len(texts) - 0.5, TOP, bottom)
    heights = {text: lanes(at) for at, text in enumerate(texts)}
    short = [(y, text if len(text) < 10 else f"{text[:8]}…") for text, y in heights.items()]
    return _Up(None, heights, middle), short


def _names(names: list[tuple[float, str]]) -> list[Markup]:
    found = []
    for y, text in names:
        found.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid"))
        found.append(element("text", text, x=LEFT - 8, y=y + 4, text_anchor="end", class_="axis"))
    return found


def _times(given: Timeline, across: Scale, bottom: float) -> list[Markup]:
    seen = given.stretch()
    found = [element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=bottom, y2=bottom, class_="base")]
    times = round_times(seen.low, seen.high, 7)
    if given.link is not None:
        found += _closer(given.link, times, across, bottom)
    for at, label in times:
        x = across(at)
        found.append(element("line", x1=x, x2=x, y1=bottom, y2=bottom + 5, class_="base"))
        text = element("text", label, x=x, y=bottom + 18, text_anchor="middle", class_="axis")
        found.append(text)
    return found


def _closer(
    link: Callable[[Stretch], str], times: Sequence[tuple[int, str]], across: Scale, bottom: float
) -> Iterator[Markup]:
    """Yield a link on the axis for each step of it, which shows that step alone."""
    for (low, start), (high, end) in pairwise(times):
        if high - low >= LEAST:
            x, width = across(low), across(high) - across(low)
            area = element("rect", x=x, y=bottom + 1, width=width, height=23, class_="zoom-to")
            title = element("title", f"Zoom to {start} to {end}")
            yield element("a", title, area, href=link(Stretch(low, high)))


def _window(given: Timeline, across: Scale, bottom: float) -> list[Markup]:
    start = LEFT if given.after is None else min(max(LEFT, across(given.after)), WIDTH - RIGHT)
    end = min(max(start, across(given.until)), WIDTH - RIGHT)
    shade = element("rect", x=start, y=TOP, width=end - start, height=bottom - TOP, class_="window")
    if given.after is None or not across.low <= given.after <= across.high:
        return [shade]
    edge = element("line", x1=start, x2=start, y1=TOP, y2=bottom, class_="edge")
    label = element("text", "window", x=start + 6, y=TOP + 14, class_="axis")
    return [shade, edge, label]


def _asked(given: Timeline, across: Scale, bottom: float) -> list[Markup]:
    if not across.low <= given.asked <= across.high:
        return []
    x = across(given.asked)
    return [
        element("line", x1=x, x2=x, y1=TOP - 8, y2=bottom, class_="asked"),
        element("text", "asked", x=x, y=TOP - 13, text_anchor="middle", class_="asked"),
    ]


def _tail(row: Row, across: Scale, y: float) -> Markup:
    """Return the line from when a row happened to when it was known, where that is seen."""
    start, end = across(row.event), min(across(row.known), WIDTH - RIGHT)
    if end - start < 3:
        return Markup("")
    css = _css(row.verdict)
    line = element("line", x1=start, x2=end, y1=y, y2=y)
    stop = element("line", x1=end, x2=end, y1=y - 4, y2=y + 4)
    return element("g", line, stop, class_=f"tail {css}")


def _labels(rows: Sequence[Row], across: Scale, up: _Up) -> list[Markup]:
    """Return the numbers beside their marks, where there are few."""
    numbers = [row for row in rows if _is_number(row.value)]
    if len(numbers) > _LABELLED:
        return []
    return [
        element(
            "text", f"{row.value:.6g}", x=across(row.event), y=up(row) - 9, text_anchor="middle",
            class_="label" if row.verdict == "counted" else "label out",
        )
        for row in numbers
    ]  # fmt: skip


def _css(verdict: str) -> str:
    return "v-" + (verdict.split(" ", 1)[0] if verdict in SHAPES else "outside")


def _mark(name: str, row: Row, across: Scale, y: float) -> Markup:
    wait = row.known - row.event
    known = f"known {ago(wait)} later" if wait > 0 else "known at once"
    what = "a row" if row.value is None else shown(row.value)
    title = f"{what} at {iso(row.event)}, {known}: {row.verdict}"
    drawn = _shape(row.verdict, across(row.event), y)
    return element("a", element("title", title), drawn, href=f"#{name}-{row.number}")


def _shape(verdict: str, x: float, y: float) -> Markup:
    """Return the mark of a verdict: shapes differ, so that colour is not alone."""
    css = f"mark {_css(verdict)}"
    match SHAPES.get(verdict, "dot"):
        case "disc":
            return element("circle", cx=x, cy=y, r=4.5, class_=css)
        case "waiting":
            return element("circle", cx=x, cy=y, r=4.5, class_=f"{css} open dashed")
        case "ring":
            return element("circle", cx=x, cy=y, r=4, class_=f"{css} open")
        case "double":
            inner = element("circle", cx=x, cy=y, r=2, class_=css)
            return element("g", element("circle", cx=x, cy=y, r=5, class_=f"{css} open"), inner)
        case "diamond":
            return element("path", d=_closed(x, y, ((0, -5), (5, 0), (0, 5), (-5, 0))),
                           class_=f"{css} open")  # fmt: skip
        case "triangle":
            return element("path", d=_closed(x, y, ((0, -5), (5, 4), (-5, 4))), class_=css)
        case "square" | "expired" as shape:
            corners = _closed(x, y, ((-4, -4), (4, -4), (4, 4), (-4, 4)))
            return element("path", d=corners, class_=css if shape == "expired" else f"{css} open")
        case "cross":
            d = f"M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8"
            return element("path", d=d, class_=f"{css} open")
        case _:
            return element("circle", cx=x, cy=y, r=2.2, class_=css)


def _closed(x: float, y: float, corners: Sequence[tuple[float, float]]) -> str:
    return path_of([(x + dx, y + dy) for dx, dy in corners]) + "Z"


def _build_up(given: Timeline, across: Scale, top: float) -> list[Markup]:
    """Return the value so far as a line of steps, from the first row that counted to the end."""
    pairs = _built(given)
    if not pairs:
        return []
    values = [value for _, value in pairs]
    least, most = min(values), max(values)
    margin = (most - least) * 0.1 or max(abs(most) * 0.1, 1.0)
    up = Scale(least - margin, most + margin, top + BUILD_HEIGHT, top)
    end = (min(max(LEFT, across(given.asked)), WIDTH - RIGHT), up(values[-1]))
    points = [*((max(LEFT, across(at)), up(value)) for at, value in pairs), end]
    ticks = [(up(value), f"{value:g}") for value in round_values(up.low, up.high, 2)]
    drawn = [
        *_names(ticks),
        element("text", "value so far", x=LEFT + 6, y=top + 2, class_="axis"),
        element("path", d=path_of(points, steps=True), class_="built"),
    ]
    if across.low <= given.asked <= across.high:
        drawn.append(element("circle", cx=end[0], cy=end[1], r=4.5, class_="mark v-counted"))
    return drawn


def _built(given: Timeline) -> list[tuple[int, float]]:
    """Return moments of the picture and the value from each on; first that of its beginning."""
    counted = [row for row in given.rows if row.verdict == "counted"]
    built = zip(counted, given.built, strict=True)
    pairs = [(row.event, _placed(value)) for row, value in built if _is_number(value)]
    seen = given.stretch()
    before = [pair for pair in pairs if pair[0] < seen.low][-1:]
    return [*before, *(pair for pair in pairs if seen.low <= pair[0] <= seen.high)]

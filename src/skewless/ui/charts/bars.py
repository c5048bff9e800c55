"""Small pictures of one number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from skewless.ui.charts.scale import Scale
from skewless.ui.charts.svg import element

_WIDTH = 160.0


def age_bar(age: float, promised: float) -> Markup:
    """Return an age beside what was promised: red beyond it."""
    across = Scale(0, max(age, promised * 1.25), 0, _WIDTH)
    kept, mark = across(min(age, promised)), across(promised)
    parts = [
        element("rect", x=0, y=5, width=_WIDTH, height=6, rx=3, class_="track"),
        element("rect", x=0, y=5, width=max(kept, 2), height=6, rx=3, class_="kept"),
    ]
    if age > promised:
        parts.append(
            element("rect", x=mark, y=5, width=_WIDTH - mark, height=6, rx=3, class_="broken")
        )
    parts.append(element("line", x1=mark, x2=mark, y1=1, y2=15, class_="promise"))
    return element("svg", *parts, viewBox=f"0 0 {_WIDTH:g} 16", class_="agebar", aria_hidden="true")


def day_strip(held: Mapping[int, bool], days: Sequence[int]) -> Markup:
    """Return a cell for each day: full where all held, high and red where not, empty without any.

    Args:
        held: day to whether all held.
        days: the days to show, in order.
    """
    cells = []
    for place, day in enumerate(days):
        ok = held.get(day)
        size = {None: (14, 2), True: (8, 8), False: (2, 14)}[ok]
        css = {None: "track", True: "kept", False: "broken"}[ok]
        cells.append(
            element("rect", x=place * 5, y=size[0], width=4, height=size[1], rx=1, class_=css)
        )
    kept = sum(held.get(day) is True for day in days)
    broken = sum(held.get(day) is False for day in days)
    title = element("title", f"held on {kept} days, failed on {broken}")
    box = f"0 0 {5 * len(days)} 18"
    return element("svg", title, *cells, viewBox=box, class_="days", role="img")

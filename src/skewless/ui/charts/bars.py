"""Small pictures of one number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from skewless.clock import iso
from skewless.ledger.runs import Run
from skewless.ui.charts.scale import Scale
from skewless.ui.charts.svg import element

_WIDTH = 160.0
MOST_RUNS = 40
"""Runs that are drawn of a job, the newest."""


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


def run_bars(runs: Sequence[Run]) -> Markup:
    """Return a bar for each run, as high as it took long; of those that failed a red one.

    Args:
        runs: of one job, the oldest first.
    """
    runs = runs[-MOST_RUNS:]
    longest = max((run.seconds or 0.0 for run in runs), default=0.0)
    up = Scale(0, longest or 1.0, 2, 20)
    bars = []
    for place, run in enumerate(runs):
        high = up(run.seconds or 0.0)
        bad = run.status in ("failed", "killed")
        took = "its end is not known" if run.seconds is None else f"{run.seconds:.1f} s"
        css = "broken" if bad else "kept"
        said = element("title", f"{iso(run.started)[:19]}: {run.status}, {took}")
        bars.append(
            element(
                "rect",
                said,
                x=(MOST_RUNS - len(runs) + place) * 5,
                y=22 - high,
                width=4,
                height=high,
                rx=1,
                class_=css,
            )
        )
    failed = sum(run.status in ("failed", "killed") for run in runs)
    title = element("title", f"{len(runs)} runs, {failed} failed, the longest {longest:.1f} s")
    box = f"0 0 {5 * MOST_RUNS} 22"
    return element("svg", title, *bars, viewBox=box, class_="days", role="img")

"""Distributions as pictures: a histogram over a box, or bars of the most frequent values."""

from __future__ import annotations

from markupsafe import Markup

from skewless.formatting import shown
from skewless.monitoring.statistics import FeatureStatistics
from skewless.ui.charts.scale import Scale, round_values
from skewless.ui.charts.svg import element, picture

WIDTH, HEIGHT, LEFT, RIGHT = 640.0, 190.0, 14.0, 14.0
_BARS_TOP, _BARS_BOTTOM, _BOX = 8.0, 118.0, 142.0


def distribution(found: FeatureStatistics) -> Markup:
    """Return the picture of a distribution; empty where there is nothing to draw."""
    if found.histogram is not None:
        return _numbers(found)
    return _frequent(found) if found.top else Markup("")


def sparkline(found: FeatureStatistics) -> Markup:
    """Return the histogram of a feature as a small picture beside its name."""
    if found.histogram is None:
        return Markup("")
    counts = found.histogram.counts
    up = Scale(0, max(counts), 0, 22)
    width = 96 / len(counts)
    bars = [
        element("rect", x=at * width, y=24 - up(count), width=max(width - 1, 0.8), height=up(count))
        for at, count in enumerate(counts)
        if count
    ]
    return element(
        "svg", *bars, viewBox="0 0 96 24", class_="spark", aria_hidden="true", focusable="false"
    )


def _numbers(found: FeatureStatistics) -> Markup:
    histogram = found.histogram
    assert histogram is not None
    edges, counts = histogram.edges, histogram.counts
    across = Scale(edges[0], edges[-1], LEFT, WIDTH - RIGHT)
    up = Scale(0, max(counts), _BARS_BOTTOM, _BARS_TOP)
    bars = []
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        said = element("title", f"{count:,} from {low:.6g} to {high:.6g}")
        start, end = across(low), across(high)
        size = {"y": up(count), "height": _BARS_BOTTOM - up(count)}
        bars.append(element("rect", said, x=start, width=max(end - start - 1, 1), **size))
    base = element(
        "line", x1=LEFT, x2=WIDTH - RIGHT, y1=_BARS_BOTTOM, y2=_BARS_BOTTOM, class_="base"
    )
    ticks = [
        element("text", f"{value:g}", x=across(value), y=HEIGHT - 4, text_anchor="middle",
                class_="axis")
        for value in round_values(edges[0], edges[-1], 6)
    ]  # fmt: skip
    title = f"Distribution of {found.name}: {found.count:,} entities have a value"
    return picture(
        WIDTH,
        HEIGHT,
        title,
        [element("g", *bars, class_="bars"), base, *_box(found, across), *ticks],
    )


def _box(found: FeatureStatistics, across: Scale) -> list[Markup]:
    """Return 5 % to 95 % as a line, the middle half as a box, the median as a stroke."""
    low, first, median, third, high = (
        across(found.quantiles[share]) for share in (0.05, 0.25, 0.5, 0.75, 0.95)
    )
    title = "5 %, 25 %, 50 %, 75 % and 95 % of the values: " + ", ".join(
        f"{found.quantiles[share]:.6g}" for share in (0.05, 0.25, 0.5, 0.75, 0.95)
    )
    box = element(
        "g",
        element("title", title),
        element("line", x1=low, x2=high, y1=_BOX, y2=_BOX, class_="whisker"),
        element("rect", x=first, y=_BOX - 8, width=max(third - first, 1), height=16, rx=2),
        element("line", x1=median, x2=median, y1=_BOX - 11, y2=_BOX + 11, class_="median"),
        class_="box",
    )
    return [box]


def _frequent(found: FeatureStatistics) -> Markup:
    most = max(count for _, count in found.top)
    across = Scale(0, most, 0, WIDTH - 300)
    parts = []
    for at, (value, count) in enumerate(found.top):
        y = 4.0 + at * 22
        name = shown(value)
        name = name if len(name) <= 24 else f"{name[:22]}…"
        parts += [
            element("text", name, x=190, y=y + 13, text_anchor="end", class_="axis"),
            element("rect", x=200, y=y + 2, width=max(across(count), 1), height=14, class_="bar"),
            element("text", f"{count:,}", x=208 + across(count), y=y + 13, class_="axis"),
        ]
    height = 8.0 + 22 * len(found.top)
    return picture(WIDTH, height, f"Most frequent values of {found.name}", parts)

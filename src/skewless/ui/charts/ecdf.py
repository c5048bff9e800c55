"""Two distributions over each other: which share of entities has at most each value.

draw_ecdf(reference, current, "Spend@v1:total")
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from skewless.ui.charts.scale import Scale, round_values
from skewless.ui.charts.svg import element, path_of, picture

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640.0, 230.0, 44.0, 14.0, 12.0, 192.0
_TRIM = 0.005
"""The share at each end that the axis leaves out: one value far away hides all others."""


def draw_ecdf(reference: Sequence[float], current: Sequence[float], name: str) -> Markup:
    """Return the picture; empty where one of the two has no values.

    Args:
        reference: values in order, at equal steps of the share.
        current: likewise.
        name: of the feature.
    """
    if not len(reference) or not len(current):
        return Markup("")
    low = min(_at(reference, _TRIM), _at(current, _TRIM))
    high = max(_at(reference, 1 - _TRIM), _at(current, 1 - _TRIM))
    across, up = Scale(low, high, LEFT, WIDTH - RIGHT), Scale(0, 1, BOTTOM, TOP)
    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        place = up(share)
        parts.append(
            element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=place, y2=place,
                    class_="base" if share == 0 else "grid")
        )  # fmt: skip
        parts.append(
            element("text", f"{share:.0%}", x=LEFT - 8, y=place + 4, text_anchor="end",
                    class_="axis")
        )  # fmt: skip
    parts += [
        element("text", f"{value:g}", x=across(value), y=HEIGHT - 18, text_anchor="middle",
                class_="axis")
        for value in round_values(low, high, 6)
    ]  # fmt: skip
    for values, css in ((reference, "was"), (current, "is")):
        last = max(len(values) - 1, 1)
        points = [
            (across(min(max(value, low), high)), up(at / last)) for at, value in enumerate(values)
        ]
        parts.append(element("path", d=path_of(_fewer(points)), class_=f"ecdf {css}"))
    title = f"Share of entities with at most each value of {name}: the reference, and now"
    return picture(WIDTH, HEIGHT, title, parts)


def _at(values: Sequence[float], share: float) -> float:
    return float(values[round(share * (len(values) - 1))])


def _fewer(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return points that are told apart in the picture."""
    kept = points[:1]
    for point in points[1:-1]:
        if abs(point[0] - kept[-1][0]) + abs(point[1] - kept[-1][1]) >= 1.5:
            kept.append(point)
    return [*kept, points[-1]]

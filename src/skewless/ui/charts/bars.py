"""Small pictures of one number."""

from __future__ import annotations

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

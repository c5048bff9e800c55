"""Elements of SVG; texts and attributes are escaped.

>>> print(element("text", "a < b", x=1.5, text_anchor="end", class_="axis"))
<text x="1.5" text-anchor="end" class="axis">a &lt; b</text>
>>> print(element("rect", width=2.004, hidden=None))
<rect width="2"/>
"""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup, escape


def element(tag: str, *children: object, **attributes: object) -> Markup:
    """Return an element.

    Args:
        tag: its name.
        children: elements, and texts, which are escaped.
        attributes: by name, ``_`` for ``-``; those that are None are left out.
    """
    written = [
        f' {name.rstrip("_").replace("_", "-")}="{escape(_short(value))}"'
        for name, value in attributes.items()
        if value is not None
    ]
    inside = "".join(escape(child) for child in children)
    end = f">{inside}</{tag}>" if children else "/>"
    return Markup(f"<{tag}{''.join(written)}{end}")


def picture(
    width: float, height: float, title: str, parts: Iterable[Markup], *, role: str = "img"
) -> Markup:
    """Return a whole picture, with what it shows in words; with links in it, it is a ``group``."""
    size = {"viewBox": f"0 0 {_short(width)} {_short(height)}"}
    return element("svg", element("title", title), *parts, role=role, **size)


def path_of(points: Iterable[tuple[float, float]], *, steps: bool = False) -> str:
    """Return the path through points, each reached by a step where asked for.

    >>> path_of([(0, 1), (2, 3)], steps=True)
    'M0 1H2V3'
    """
    drawn = []
    for at, (x, y) in enumerate(points):
        if at == 0:
            drawn.append(f"M{_short(x)} {_short(y)}")
        elif steps:
            drawn.append(f"H{_short(x)}V{_short(y)}")
        else:
            drawn.append(f"L{_short(x)} {_short(y)}")
    return "".join(drawn)


def _short(value: object) -> str:
    return f"{round(value, 2):g}" if isinstance(value, float) else str(value)

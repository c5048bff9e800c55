"""What differs between two forms of a definition, a line each, the way people say it.

>>> lines_of({"delay": 0, "owner": "ada"}, {"delay": 300_000_000, "owner": "ada"})
['delay: 0s -> 5m']
"""

from __future__ import annotations

from typing import Any

from skewless.definitions import Aggregate, Expression, FeatureView
from skewless.definitions.checks import Check
from skewless.definitions.repo import View
from skewless.durations import format_duration
from skewless.types import dtype_from_dict

_CHECKS = ("checks", "screens")
_DURATIONS = ("delay", "lateness", "future", "freshness", "warn")


def lines_of(
    before: dict[str, Any], after: dict[str, Any], *, leave: tuple[str, ...] = ()
) -> list[str]:
    """Return a line for each entry of plain data that differs, but those to ``leave`` out."""
    lines = []
    for key in dict.fromkeys((*before, *after)):
        old, new = before.get(key), after.get(key)
        if key in leave or old == new:
            continue
        if key in _CHECKS:
            gone, come = ([repr(Check.from_dict(one)) for one in part or ()] for part in (old, new))
            lines += [f"{key}: - {check}" for check in gone if check not in come]
            lines += [f"{key}: + {check}" for check in come if check not in gone]
        elif _is_tree(old) and _is_tree(new) and (old or new):
            old, new = old or {}, new or {}
            prefix = "" if key == "words" else f"{key}."
            lines += [f"{prefix}{line}" for line in lines_of(old, new)]
            if list(old) != list(new) and set(old) == set(new):
                lines.append(f"{key}: {', '.join(old)} -> {', '.join(new)} (the order)")
        else:
            lines.append(f"{key}: {_shown(key, old, new)} -> {_shown(key, new, old)}")
    return lines


def feature_lines(before: View | None, after: View) -> list[str]:
    """Return a line for each feature that is new, gone or defined otherwise."""
    old: dict[str, str] = {} if before is None else _texts(before)
    new = _texts(after)
    lines = [f"+ {name}: {text}" for name, text in new.items() if name not in old]
    for name, text in new.items():
        if name not in old or before is None:
            continue
        if old[name] != text:
            lines.append(f"~ {name}: {old[name]} -> {text}")
        elif (detail := _detail(before, after, name)) is not None:
            lines.append(f"~ {name}: {detail}")
    return lines + [f"- {name}: {text}" for name, text in old.items() if name not in new]


def frame_lines(before: View, after: View) -> list[str]:
    """Return a line for each thing around the features of a view that differs."""
    if not isinstance(before, FeatureView) or not isinstance(after, FeatureView):
        if isinstance(before, FeatureView) == isinstance(after, FeatureView):
            return []
        return ["it was a feature view" if isinstance(before, FeatureView) else "it was on demand"]
    lines = []
    for what in ("entity", "source"):
        old, new = getattr(before, what), getattr(after, what)
        if old.name != new.name:
            lines.append(f"{what}: {old.name} -> {new.name}")
    if repr(before.where) != repr(after.where):
        lines.append(f"where: {before.where!r} -> {after.where!r}")
    return lines


def describe(expression: Expression) -> str:
    """Return what a feature computes, its default included."""
    if isinstance(expression, Aggregate) and expression.default is not None:
        return f"{expression!r} default {expression.default!r}"
    return repr(expression)


def _texts(view: View) -> dict[str, str]:
    if view.expressions:
        return {name: describe(expression) for name, expression in view.expressions.items()}
    return {name: f"{dtype!r} of a function" for name, dtype in view.dtypes.items()}


def _detail(before: View, after: View, name: str) -> str | None:
    """Return what differs where the text of a feature does not show it."""
    if name not in before.expressions or name not in after.expressions:
        return None
    old, new = before.expressions[name].to_dict(), after.expressions[name].to_dict()
    lines = lines_of(old, new)
    return "; ".join(lines) if lines else None


def _is_tree(value: Any) -> bool:
    """Whether differences are shown entry by entry, never as a dict."""
    return value is None or isinstance(value, dict)


def _shown(key: str, value: Any, other: Any) -> str:
    if value is None or value in ("", [], {}):
        return "none"
    if isinstance(value, dict) or isinstance(other, dict):  # a type that has parts, or had some
        return repr(dtype_from_dict(value))
    if key in _DURATIONS and isinstance(value, int):
        return format_duration(value)
    return repr(value)

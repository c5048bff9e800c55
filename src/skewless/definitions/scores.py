"""How unusual a value is: features made of several aggregations of one column.

>>> from skewless.definitions.source import Source
>>> tests = Source("tests", schema={"fab": str, "vdd": float}, event_time="at")
>>> list(tests.vdd.zscore("7d").leaves())[-1]
std of tests.vdd over sliding 7d
"""

from __future__ import annotations

from typing import Any

from skewless.definitions.column_methods import WindowLike
from skewless.definitions.expressions import Expression, MultiWindow
from skewless.errors import DefinitionError


def zscore(
    column: Expression, windows: tuple[WindowLike, ...], options: dict[str, Any]
) -> Expression:
    """Return what `ColumnMethods.zscore` does."""
    for option in ("by", "default"):
        if option in options:
            hint = "Say .fill_null(...) of the result." if option == "default" else None
            raise DefinitionError(f"zscore takes no {option}", got=repr(column), hint=hint)
    mean = column.mean(*windows, **options)
    std = column.std(*windows, **options)
    newest = column.latest(*windows, skip_nulls=True, **options)
    if not isinstance(mean, MultiWindow):
        return (newest - mean) / std
    several = [each.members for each in (newest, mean, std) if isinstance(each, MultiWindow)]
    scores = tuple((x - middle) / spread for x, middle, spread in zip(*several, strict=True))
    return MultiWindow(scores, mean.labels)


Expression._zscore = zscore

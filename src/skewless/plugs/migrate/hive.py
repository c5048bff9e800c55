"""Types as Hive and Spark write them, as code: ``array<struct<a:int>>``."""

from __future__ import annotations

import re
from collections.abc import Iterator

_PLAIN = {
    "boolean": "bool", "tinyint": "sl.Int32", "smallint": "sl.Int32", "int": "sl.Int32",
    "integer": "sl.Int32", "bigint": "int", "long": "int", "float": "sl.Float32",
    "real": "sl.Float32", "double": "float", "string": "str", "binary": "bytes",
    "date": "date", "timestamp": "datetime",
    "timestamp_ntz": "datetime",
}  # fmt: skip
_NAMED = re.compile(r"(varchar|char|decimal|array|map|struct)\s*[(<](.*)[)>]", re.DOTALL)
NUMBERS = frozenset({"sl.Int32", "int"})
"""Types that count time in units somebody has to say."""


def type_of(text: str) -> str | None:
    """Return a type as code; None where there is none here.

    Example:
        >>> type_of("decimal(12,2)"), type_of("map<string,array<double>>"), type_of("void")
        ('sl.Decimal(12, 2)', 'sl.Map(sl.List(float))', None)
    """
    text = text.strip()
    if plain := _PLAIN.get(text.lower()):
        return plain
    found = _NAMED.fullmatch(text) or _NAMED.fullmatch(text.lower())
    if found is None:
        return "sl.Decimal(10, 0)" if text.lower() == "decimal" else None
    kind, inside = found[1], list(_parts(found[2]))
    if kind in ("varchar", "char"):
        return "str"
    if kind == "decimal":
        digits, scale = [*map(int, inside), 0][:2]
        return f"sl.Decimal({digits}, {scale})"
    if kind == "struct":
        return _struct(inside)
    item = type_of(inside[-1])
    if kind == "map" and type_of(inside[0]) != "str":
        return None
    return item and f"sl.{'Map' if kind == 'map' else 'List'}({item})"


def _struct(fields: list[str]) -> str | None:
    named = [each.partition(":") for each in fields]
    types = {name.strip(" `"): type_of(kind) for name, _, kind in named}
    listed = ", ".join(f'"{name}": {kind}' for name, kind in types.items())
    return None if None in types.values() else f"sl.Struct({{{listed}}})"


def _parts(text: str) -> Iterator[str]:
    """Yield what commas part, but for those within brackets."""
    depth = start = 0
    for place, sign in enumerate(text):
        depth += (sign in "<(") - (sign in ">)")
        if sign == "," and not depth:
            yield text[start:place]
            start = place + 1
    yield text[start:]

"""Lookups: small tables that on-demand features look values up in, by key.

>>> import pyarrow as pa
>>> from skewless.definitions.expressions import Request
>>> from skewless.definitions.tables import Frame
>>> limits = pa.table({"test": ["na", "k"], "low": [135.0, 3.5], "high": [145.0, 5.1]})
>>> ranges = Lookup("ranges", table=Frame(limits), key="test")
>>> ranges
Lookup(ranges by test: 2 rows)
>>> ranges[Request("test", str)].low > 5
(ranges#183a1802[request.test].low > 5): Bool

What the table holds is part of the features that look it up: a table that has changed makes new
versions of them, and what an older version finds stays what it was.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from skewless.definitions.chains import chain_to_dict, text_of
from skewless.definitions.expressions import LINK_READERS, Expression, as_expression
from skewless.definitions.fingerprint import fingerprint
from skewless.definitions.naming import checked_name, checked_text
from skewless.definitions.tables import Table
from skewless.errors import DefinitionError, UnknownName
from skewless.forks import cached_property
from skewless.types import DType, dtype_from_dict

MOST_ROWS = 10_000
"""The most rows a lookup may have: they travel with every feature that looks it up."""
KINDS = frozenset({"str", "int32", "int64", "bool", "float32", "float64"})
"""The types that values of a lookup may have; of keys all but the last two."""


class Lookup:
    """A small table in which on-demand features look values up.

    Args:
        name: of it, for people.
        table: where it is read from, when it is first used in a definition.
        key: the column or columns that say which row is meant; no two rows have the same.
        description: for people.

    Raises:
        DefinitionError: no table, or no key (on first use: too many rows, a key that is null or
            there twice, a type that it cannot hold).
    """

    def __init__(
        self, name: str, *, table: Table, key: str | Sequence[str], description: str = ""
    ) -> None:
        self.name = checked_name(name, "lookup")
        self.description = checked_text(description, "the description", f"lookup {name!r}")
        several: object = key
        self.key = (key,) if isinstance(key, str) else ()
        if isinstance(several, (list, tuple)) and all(isinstance(each, str) for each in several):
            self.key = tuple(several)
        self.table = table
        handed: object = table
        if not isinstance(handed, Table) or not self.key:
            raise DefinitionError(
                f"lookup {name!r} needs a table and a key",
                got=f"table={table!r:.60}, key={key!r:.60}",
                expected="table=sl.CSV('ranges.csv'), key='test'",
            )

    @cached_property
    def types(self) -> dict[str, DType]:
        """Column name to type."""
        return dict(self._read[0])

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """What it holds, in order of the key."""
        return self._read[1]

    @cached_property
    def _read(self) -> tuple[dict[str, DType], list[dict[str, Any]]]:
        from skewless.plugins import table_reader

        where, reader = f"lookup {self.name!r}", table_reader(self.table)
        types: dict[str, DType] = reader.schema()
        for key in self.key:
            if key not in types:
                raise UnknownName.of("column", key, types, where=where)
        for column, dtype in types.items():
            whole = KINDS - {"float32", "float64"} if column in self.key else KINDS
            if dtype.kind not in whole:
                raise DefinitionError(
                    f"column {column!r} of {where} cannot be a {dtype!r}",
                    expected=", ".join(sorted(whole)),
                )
        if (many := reader.row_count()) > MOST_ROWS:
            raise DefinitionError(
                f"{where} has too many rows",
                got=f"{many:,}",
                expected=f"at most {MOST_ROWS:,}",
                hint="What is larger is a source, and what is looked up a view of it.",
            )
        rows = [row for chunk in reader.chunks(list(types)) for row in chunk.table.to_pylist()]
        return types, self._checked(types, rows, where)

    def _checked(
        self, types: Mapping[str, DType], rows: list[dict[str, Any]], where: str
    ) -> list[dict[str, Any]]:
        found: dict[tuple[Any, ...], dict[str, Any]] = {}
        for row in rows:
            values = {name: dtype.coerce(row[name]) for name, dtype in types.items()}
            key = tuple(values[name] for name in self.key)
            if None in key or key in found:
                why = "is null" if None in key else "is there twice"
                raise DefinitionError(f"a key of {where} {why}", got=repr(key))
            for name, value in values.items():
                if isinstance(value, float) and not math.isfinite(value):
                    got = f"{value!r} in column {name!r}"
                    raise DefinitionError(f"a value of {where} is not finite", got=got)
            found[key] = values
        return [found[key] for key in sorted(found)]

    def __getitem__(self, keys: object) -> Found:
        """Return the row that keys name; of it a column is a value, null where there is none.

        Args:
            keys: an expression or a value for each column of the key, in order.

        Raises:
            DefinitionError: other types than the key has, or columns of a source.
        """
        given = keys if isinstance(keys, tuple) else (keys,)
        operands = tuple(as_expression(each) for each in given)
        wanted = [self.types[name] for name in self.key]
        kinds = [_kind(dtype) for dtype in wanted]
        if kinds != [_kind(each.dtype) for each in operands]:
            raise DefinitionError(
                f"the key of lookup {self.name!r}",
                got=", ".join(repr(each.dtype) for each in operands),
                expected=", ".join(
                    f"{name} {dtype!r}" for name, dtype in zip(self.key, wanted, strict=True)
                ),
            )
        return Found(self, operands)

    def __repr__(self) -> str:
        return f"Lookup({self.name} by {', '.join(self.key)}: {len(self.rows):,} rows)"


class Found:
    """The row of a lookup that keys name."""

    def __init__(self, lookup: Lookup, keys: tuple[Expression, ...]) -> None:
        self._lookup, self._keys = lookup, keys

    def __getitem__(self, column: str) -> Expression:
        """Return a column of it; the form for names that clash."""
        of, asked = self._lookup, str(column)
        if asked not in of.types or asked in of.key:
            names = [name for name in of.types if name not in of.key]
            raise UnknownName.of("column", asked, names, where=f"lookup {of.name!r}")
        rows = [[*(row[name] for name in of.key), row[asked]] for row in of.rows]
        return LookedUp(of.name, asked, of.types[asked], rows, self._keys)

    def __getattr__(self, name: str) -> Expression:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except UnknownName as problem:
            raise problem.as_attribute() from None


class LookedUp(Expression):
    """A column of a lookup, at the keys that its operands are; null where there is no such row.

    Attributes:
        lookup, column: their names.
        rows: key and value of each row.
    """

    def __init__(
        self,
        lookup: str,
        column: str,
        dtype: DType,
        rows: list[list[Any]],
        children: tuple[Expression, ...],
    ) -> None:
        self.lookup, self.column, self.dtype, self.rows = lookup, column, dtype, rows
        self._made_of(children)
        if self.per_row:
            raise DefinitionError(
                f"lookup {lookup!r} at a column of a source",
                got=", ".join(map(repr, children)),
                hint="Lookups are for on-demand features: aggregate the column first.",
            )

    @cached_property
    def mark(self) -> str:
        """A hash of what it holds."""
        return fingerprint(self.rows)[:8]

    def with_children(self, children: tuple[Expression, ...]) -> Expression:
        """Return the same column at other keys."""
        return LookedUp(self.lookup, self.column, self.dtype, self.rows, children)

    def as_link(self) -> dict[str, Any]:
        """What it holds."""
        return {
            "lookup": self.lookup,
            "column": self.column,
            "type": self.dtype.to_dict(),
            "rows": self.rows,
        }

    def to_dict(self) -> dict[str, Any]:
        """What it holds, and the keys."""
        return chain_to_dict(self)

    def written(self, operands: Sequence[str]) -> str:
        """Return it as people write it, with a mark of what the lookup holds."""
        return f"{self.lookup}#{self.mark}[{', '.join(operands)}].{self.column}"

    def __repr__(self) -> str:
        return text_of(self)


def _kind(dtype: DType) -> str:
    return "int" if dtype.is_integer else dtype.kind


def _looked_up(data: dict[str, Any], children: tuple[Expression, ...]) -> Expression:
    dtype = dtype_from_dict(data["type"])
    return LookedUp(data["lookup"], data["column"], dtype, data["rows"], children)


LINK_READERS["lookup"] = _looked_up

"""Typed expressions with Python operators, over the columns of a source or over features.

>>> from skewless.definitions.source import Source
>>> tests = Source("tests", schema={"fab": str, "vdd": float}, event_time="at")
>>> tests.vdd * 2 > 1.5
((tests.vdd * 2) > 1.5): Bool
>>> tests.vdd + tests.fab
Traceback (most recent call last):
    ...
skewless.errors.DefinitionError: 'add' is not defined here. Got: Float64, String. Expected: numbers.

Expressions are frozen. ``==`` builds a comparison; whether two are the same is asked with
`Expression.same_as`.

A sum of a thousand columns is a thousand operations deep, each the first operand of the next: such
chains are walked, written and computed link by link (`chain_of`), never by recursion. In the other
operands `MOST_DEEP` levels are allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, NoReturn, Protocol

from skewless.aggregations.base import is_aggregation
from skewless.clock import from_micros, to_micros
from skewless.definitions import operations
from skewless.definitions.chains import chain_of, chain_to_dict, text_of
from skewless.definitions.column_methods import ColumnMethods
from skewless.definitions.described import Described
from skewless.definitions.value_methods import ValueMethods
from skewless.errors import DefinitionError, UnknownName
from skewless.types import DType, Timestamp, dtype_from_dict, dtype_of

_SYMBOLS = {
    "add": "+", "subtract": "-", "multiply": "*", "divide": "/", "modulo": "%", "power": "**",
    "equal": "==", "not_equal": "!=", "less": "<", "less_equal": "<=", "greater": ">",
    "greater_equal": ">=", "and": "&", "or": "|",
}  # fmt: skip


MOST_DEEP = 100
"""How deep operands other than the first may be nested."""


class Expression(Described, ColumnMethods["Expression"], ValueMethods["Expression"]):
    """A typed value per row of a source, or per feature vector.

    Attributes:
        dtype: the type of its values.
        children: the expressions it is made of.
        per_row: whether it is over rows of a source (else over features).
        constant: whether it has no leaves but literals.
        depth: how deep operands other than the first are nested.
        words: what is said of the feature it is; None where nothing is.
    """

    dtype: DType
    children: tuple[Expression, ...] = ()
    constant = False
    depth = 0
    _per_row = False

    @property
    def per_row(self) -> bool:
        """Whether the expression is over the columns of a source."""
        return self._per_row

    def _made_of(self, children: tuple[Expression, ...]) -> None:
        """Set what follows from the operands.

        Raises:
            DefinitionError: they are nested too deeply.
        """
        self.children = children
        self._per_row = any(child.per_row for child in children)
        self.constant = all(child.constant for child in children)
        others = [child.depth + 1 for child in children[1:]]
        self.depth = max(children[0].depth, *others) if others else children[0].depth
        if self.depth > MOST_DEEP:
            raise DefinitionError(
                "an expression is nested too deeply",
                got=f"{self.depth} levels",
                expected=f"at most {MOST_DEEP}",
                hint="Begin with the longer part: a + b + c, not a + (b + c).",
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the expression as plain data."""
        raise NotImplementedError

    def as_link(self) -> dict[str, Any]:
        """Return the operation without its operands, as plain data."""
        raise NotImplementedError

    def written(self, operands: Sequence[str]) -> str:
        """Return the operation as people write it, over operands that are written already."""
        raise NotImplementedError

    def as_operand(self) -> str:
        """Return the expression as it is written within others."""
        return repr(self)

    def same_as(self, other: Expression) -> bool:
        """Return whether both say the same."""
        return self.to_dict() == other.to_dict()

    def leaves(self) -> Iterator[Expression]:
        """Yield the leaves, left to right."""
        todo = [self]
        while todo:
            expression = todo.pop()
            if not expression.children:
                yield expression
            todo += reversed(expression.children)

    def with_children(self, children: tuple[Expression, ...]) -> Expression:
        """Return the same operation over other operands."""
        raise NotImplementedError

    def replace_leaves(self, change: Callable[[Expression], Expression]) -> Expression:
        """Return the expression with every leaf passed through ``change``."""
        start, links = chain_of(self)
        replaced = change(start)
        for link in links:
            others = tuple(child.replace_leaves(change) for child in link.children[1:])
            replaced = link.with_children((replaced, *others))
        return replaced

    def __getattr__(self, name: str) -> Callable[..., Expression]:
        if name.startswith("_"):
            raise AttributeError(name)
        if self.per_row and is_aggregation(name):
            method: Callable[..., Expression] = partial(self._over_plugged_in, name)
            return method
        problem = UnknownName.of("method", name, _methods(type(self)), where=f"{self!r:.80}")
        if not self.per_row:
            hides = "Within a view's class a feature that is named like its source hides the source"
            problem = UnknownName(f"{problem.what}. {hides}", hint="Give it another name.")
        raise problem.as_attribute()

    def __bool__(self) -> NoReturn:
        raise DefinitionError(
            "an expression has no truth of its own",
            got=repr(self),
            hint="Combine conditions with &, | and ~, each in brackets, not with and, or, not.",
        )

    def __hash__(self) -> int:
        return hash(repr(self))

    def __add__(self, other: object) -> Expression:
        return _operate("add", self, other)

    def __radd__(self, other: object) -> Expression:
        return _operate("add", other, self)

    def __sub__(self, other: object) -> Expression:
        return _operate("subtract", self, other)

    def __rsub__(self, other: object) -> Expression:
        return _operate("subtract", other, self)

    def __mul__(self, other: object) -> Expression:
        return _operate("multiply", self, other)

    def __rmul__(self, other: object) -> Expression:
        return _operate("multiply", other, self)

    def __truediv__(self, other: object) -> Expression:
        return _operate("divide", self, other)

    def __rtruediv__(self, other: object) -> Expression:
        return _operate("divide", other, self)

    def __mod__(self, other: object) -> Expression:
        return _operate("modulo", self, other)

    def __pow__(self, other: object) -> Expression:
        return _operate("power", self, other)

    def __neg__(self) -> Expression:
        return _operate("negate", self)

    def __abs__(self) -> Expression:
        return _operate("abs", self)

    def __eq__(self, other: object) -> Expression:  # type: ignore[override]
        return _operate("equal", self, other)

    def __ne__(self, other: object) -> Expression:  # type: ignore[override]
        return _operate("not_equal", self, other)

    def __lt__(self, other: object) -> Expression:
        return _operate("less", self, other)

    def __le__(self, other: object) -> Expression:
        return _operate("less_equal", self, other)

    def __gt__(self, other: object) -> Expression:
        return _operate("greater", self, other)

    def __ge__(self, other: object) -> Expression:
        return _operate("greater_equal", self, other)

    def __and__(self, other: object) -> Expression:
        return _operate("and", self, other)

    def __or__(self, other: object) -> Expression:
        return _operate("or", self, other)

    def __invert__(self) -> Expression:
        return _operate("not", self)

    def _operation(self, name: str, *others: object) -> Expression:
        return _operate(name, self, *others)

    def is_not_null(self) -> Expression:
        """True where the value is not null; never null itself."""
        return ~self.is_null()

    def is_in(self, values: list[Any]) -> Expression:
        """True where the value equals one of ``values``."""
        if not values:
            raise DefinitionError("is_in needs at least one value", got="[]")
        result: Expression = self == values[0]
        for value in values[1:]:
            result = result | (self == value)
        return result

    def cast(self, dtype: object) -> Expression:
        """The value as another type; null where it does not fit."""
        return Cast(self, dtype_of(dtype))


class Literal(Expression):
    """A plain value inside an expression."""

    constant = True

    def __init__(self, value: object) -> None:
        self.dtype = operations.literal_type(value)
        try:
            self.value = self.dtype.coerce(value)
        except ValueError as problem:
            raise DefinitionError("not a value an expression can hold", got=problem) from None
        if self.value is None:
            raise DefinitionError("not a value an expression can hold", got=repr(value))

    @property
    def per_row(self) -> bool:
        """A plain value is at home anywhere."""
        return False

    def to_dict(self) -> dict[str, Any]:
        """Times are written as microseconds."""
        value = self.value
        if isinstance(value, datetime):
            return {"time": to_micros(value)}
        return {"value": value}

    def __repr__(self) -> str:
        return repr(self.value)


class Operation(Expression):
    """An operation of `skewless.definitions.operations` on operands."""

    def __init__(self, name: str, children: tuple[Expression, ...]) -> None:
        self.name = name
        self._made_of(children)
        self.dtype = operations.result_type(name, [child.dtype for child in children])

    def with_children(self, children: tuple[Expression, ...]) -> Expression:
        """Return the operation over other operands."""
        return Operation(self.name, children)

    def as_link(self) -> dict[str, Any]:
        """Its name."""
        return {"operation": self.name}

    def written(self, operands: Sequence[str]) -> str:
        """Return it with the sign it has, or as a call."""
        if self.name in _SYMBOLS:
            return f"({operands[0]} {_SYMBOLS[self.name]} {operands[1]})"
        return f"{self.name}({', '.join(operands)})"

    def as_operand(self) -> str:
        """Without its type."""
        return text_of(self)

    def to_dict(self) -> dict[str, Any]:
        """Name and operands; of a long chain where it starts and its links."""
        return chain_to_dict(self)

    def __repr__(self) -> str:
        return f"{text_of(self)}: {self.dtype!r}"


class Cast(Expression):
    """An operand as another type."""

    def __init__(self, child: Expression, dtype: DType) -> None:
        self._made_of((child,))
        self.dtype = operations.cast_type(child.dtype, dtype)

    def with_children(self, children: tuple[Expression, ...]) -> Expression:
        """Return the cast of another operand."""
        return Cast(children[0], self.dtype)

    def as_link(self) -> dict[str, Any]:
        """The type."""
        return {"cast": self.dtype.to_dict()}

    def written(self, operands: Sequence[str]) -> str:
        """Return it with the types it is from, where that is no leaf's, and to."""
        inner = self.children[0]
        typed = f"{operands[0]}: {inner.dtype!r}" if isinstance(inner, Operation) else operands[0]
        return f"{typed} as {self.dtype!r}"

    def to_dict(self) -> dict[str, Any]:
        """Type and operand."""
        return chain_to_dict(self)

    def __repr__(self) -> str:
        return text_of(self)


class ColumnsByName(Protocol):
    """Rows that know their columns."""

    def __getitem__(self, name: str, /) -> Column:
        """Return the column of that name, or raise `UnknownName`."""


class Column(Expression):
    """A column of a source, perhaps of the rows a filter leaves.

    Attributes:
        where: the filter of ``source.where(...)`` it was taken from; None for all rows.
        rows: those it was taken from, which know its neighbours; None where it was read back.
    """

    def __init__(
        self,
        source: str,
        name: str,
        dtype: DType,
        where: Expression | None = None,
        rows: ColumnsByName | None = None,
    ) -> None:
        self.source = source
        self.name = name
        self.dtype = dtype
        self.where = where
        self.rows = rows

    @property
    def per_row(self) -> bool:
        """A column is what makes an expression one over rows."""
        return True

    def to_dict(self) -> dict[str, Any]:
        """Name and type; the source is that of the view."""
        return {"column": self.name, "type": self.dtype.to_dict()}

    def __repr__(self) -> str:
        return f"{self.source}.{self.name}"


class Request(Expression):
    """A field that the caller gives with a request: ``sl.Request("amount", float)``."""

    def __init__(self, name: str, dtype: object) -> None:
        self.name = name
        self.dtype = dtype_of(dtype)

    @property
    def per_row(self) -> bool:
        """It belongs to the request, not to a row."""
        return False

    def to_dict(self) -> dict[str, Any]:
        """Name and type."""
        return {"request": self.name, "type": self.dtype.to_dict()}

    def __repr__(self) -> str:
        return f"request.{self.name}"


class RequestTime(Expression):
    """The moment that is asked about: of a read online, of a spine's row in training sets."""

    dtype = Timestamp

    @property
    def per_row(self) -> bool:
        """It belongs to the request, not to a row."""
        return False

    def to_dict(self) -> dict[str, Any]:
        """That it is the moment asked about."""
        return {"now": True}

    def __repr__(self) -> str:
        return "now()"


def now() -> RequestTime:
    """Return the moment that is asked about, for on-demand features.

    The read's moment online, the spine's time in training sets: never a clock of one path alone.

    >>> from datetime import datetime
    >>> (now() - Request("ordered_at", datetime)).days()
    days((now() - request.ordered_at)): Float64
    """
    return RequestTime()


class MultiWindow(Expression):
    """Several features under one attribute: several windows, or several columns.

    Attributes:
        members: one expression each.
        labels: what tells their names apart.
        replaces_name: whether a label is the feature's whole name, or its suffix.
        all_columns: whether it stands for all columns of a source: a view leaves out its keys.
    """

    def __init__(
        self,
        members: tuple[Expression, ...],
        labels: tuple[str, ...],
        *,
        replaces_name: bool = False,
        all_columns: bool = False,
    ) -> None:
        self.members = members
        self.labels = labels
        self.replaces_name = replaces_name
        self.all_columns = all_columns
        self.dtype = members[0].dtype

    @property
    def per_row(self) -> bool:
        """Aggregated values belong to an entity."""
        return False

    def named(self, name: str) -> dict[str, Expression]:
        """Return the features by name, for an attribute called ``name``."""
        labels = self.labels if self.replaces_name else [f"{name}_{x}" for x in self.labels]
        members = [self._described(*each) for each in zip(self.members, self.labels, strict=True)]
        return dict(zip(labels, members, strict=True))

    def _described(self, member: Expression, label: str) -> Expression:
        """Return one of the features with what is said of all: of several windows ``was`` too."""
        if self.words is None:
            return member
        was = self.words.was
        return member.with_words(replace(self.words, was=f"{was}_{label}" if was else ""))

    def __repr__(self) -> str:
        return f"{len(self.members)} windows of {self.members[0]!r}"


def _methods(kind: type) -> list[str]:
    return [name for name in dir(kind) if not name.startswith("_")]


def if_else(condition: Expression, then: object, otherwise: object) -> Expression:
    """Return ``then`` where the condition holds, ``otherwise`` where not; null where it is null."""
    return _operate("if_else", condition, then, otherwise)


def as_expression(value: object) -> Expression:
    """Return the value as an expression: unchanged, or as a literal."""
    if isinstance(value, MultiWindow):
        raise DefinitionError(
            "several windows cannot be one operand",
            got=f"{len(value.members)} windows: {', '.join(value.labels)}",
            hint="Write one window here and give the others names of their own.",
        )
    return value if isinstance(value, Expression) else Literal(value)


def _operate(name: str, *operands: object) -> Expression:
    children = tuple(as_expression(operand) for operand in operands)
    if any(c.per_row for c in children) and any(_is_feature(c) for c in children):
        asked = any(isinstance(leaf, Request) for child in children for leaf in child.leaves())
        raise DefinitionError(
            "columns and features cannot meet in one expression",
            got=", ".join(map(repr, children)),
            hint=_COUNT_BY if asked else _AGGREGATE,
        )
    return Operation(name, children)


_AGGREGATE = "Aggregate the column first: tests.vdd.latest() - tests.vdd.mean('1h')."
_COUNT_BY = (
    "Keep a count of each value, and ask for one on demand: n = tx.count('7d', by='merchant'), "
    "then View.n.get(merchant, 0); of numbers keep a list, View.amounts.above(amount)."
)


def _is_feature(expression: Expression) -> bool:
    return not (expression.per_row or expression.constant)


Reader = Callable[[dict[str, Any], str], Expression]
READERS: dict[str, Reader] = {}
"""What reads expressions of other modules back, by a key that their plain data has."""
LINK_READERS: dict[str, Callable[[dict[str, Any], tuple[Expression, ...]], Expression]] = {}
"""Likewise what reads those back that have operands."""


def expression_from_dict(data: dict[str, Any], source: str = "") -> Expression:
    """Return the expression that ``to_dict`` wrote; ``source`` names that of its columns."""
    if "chain" in data:
        whole = expression_from_dict(data["chain"], source)
        for link in data["links"]:
            whole = _linked(link, (whole, *_operands(link["of"], source)))
        return whole
    if "of" in data:
        return _linked(data, _operands(data["of"], source))
    if "value" in data:
        return Literal(data["value"])
    if "time" in data:
        return Literal(from_micros(data["time"]))
    if "column" in data:
        return Column(source, _name_in(data["column"]), dtype_from_dict(data["type"]))
    if "now" in data:
        return RequestTime()
    if "request" in data:
        return Request(_name_in(data["request"]), dtype_from_dict(data["type"]))
    (read,) = (READERS[key] for key in READERS if key in data)
    return read(data, source)


def _name_in(data: object) -> str:
    """Return a name as it was written; an export that was changed may hold anything."""
    if not isinstance(data, str):
        raise DefinitionError("a name is no text", got=f"{data!r:.60}")
    return data


def _operands(data: list[dict[str, Any]], source: str) -> tuple[Expression, ...]:
    return tuple(expression_from_dict(operand, source) for operand in data)


def _linked(data: dict[str, Any], children: tuple[Expression, ...]) -> Expression:
    if "cast" in data:
        return Cast(children[0], dtype_from_dict(data["cast"]))
    if "operation" in data:
        return Operation(data["operation"], children)
    (read,) = (LINK_READERS[key] for key in LINK_READERS if key in data)
    return read(data, children)

"""Checks: declared expectations of a source's columns or a view's features.

>>> Check.between("amount", 0, 10_000, share=0.01)
Check(amount between 0 and 10000 in 99 % of rows)
>>> Check.matches("amount", "[")
Traceback (most recent call last):
    ...
skewless.errors.DefinitionError: not a regular expression. \
Got: '[': unterminated character set at position 0.

By default they change no value and no version: what fails is told, or the training set, the push
or the materialization is refused (``action="block"``). Those of a source may also keep rows out of
features (``"quarantine"``) or alter what these see of a column (``"clip"``, ``"impute"``), on every
path alike: such a check is part of the version of the views over it (`definitions.screening`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from skewless.clock import to_micros
from skewless.definitions.expressions import Column, Expression
from skewless.definitions.words import Words
from skewless.durations import format_duration, parse_duration
from skewless.errors import DefinitionError, UnknownName
from skewless.types import DType, shown

Action = Literal["warn", "block", "quarantine", "clip", "impute"]
ACTIONS: Mapping[str, tuple[str, ...]] = {
    "warn": (),
    "block": (),
    "quarantine": ("not_null", "between", "in_set", "sums_to", "expr"),
    "clip": ("between",),
    "impute": ("not_null", "between", "in_set"),
}
"""Action to the kinds of checks that can have it; empty: all."""
_NUMBERS = ("mean_between", "sums_to")
_ORDERED = ("between", "monotonic")
_WHOLE = ("row_count", "change_of_count", "mean_between", "fresh")
"""Kinds that look at all rows at once: a share of rows means nothing to them."""


class Check:
    """An expectation, made by one of twelve constructors.

    All take ``action``: ``"warn"`` (it is told and recorded) or ``"block"`` (the training set, the
    push or the materialization is refused). Those of single rows take ``share``: how many of the
    rows may fail, 0 to 1. Null fails `not_null` alone.

    Of the checks of a source, some take three more. ``"quarantine"``: no feature counts a row that
    fails. ``"clip"``: features see the limit in the place of a value beyond it. ``"impute"``:
    they see ``value``.

    Attributes:
        kind: the constructor's name.
        columns: of the source, or features of the view.
        options: what else it was given, as plain data.
        share: of the rows that may fail.
        action: what happens when it fails.

    Example:
        >>> import skewless as sl
        >>> pays = sl.Source(
        ...     "pays",
        ...     schema={"card_id": str, "amount": float},
        ...     event_time="at",
        ...     checks=[sl.Check.not_null("card_id"), sl.Check.between("amount", 0)],
        ... )
        >>> pays.checks[1]
        Check(amount between 0.0 and anything)
    """

    def __init__(
        self,
        kind: str,
        columns: Sequence[str],
        options: Mapping[str, Any],
        *,
        share: float = 0.0,
        action: str = "warn",
    ) -> None:
        _check_action(action)
        if (kinds := ACTIONS[action]) and kind not in kinds:
            expected = f"{action!r} of {', '.join(kinds)}"
            raise DefinitionError("an action of other checks", got=kind, expected=expected)
        given: object = share
        if not isinstance(given, (int, float)) or not 0 <= share < 1:
            raise DefinitionError("a share of rows", got=shown(share), expected="0 up to 1")
        for column in columns:
            if not isinstance(column, str):
                raise DefinitionError("a check names columns by text", got=shown(column))
        self.kind = kind
        self.columns = tuple(columns)
        self.options = dict(options)
        self.share = float(share)
        self.action = action

    @classmethod
    def not_null(
        cls, column: str, *, share: float = 0.0, action: str = "warn", value: Any = None
    ) -> Check:
        """No value is null."""
        return cls("not_null", [column], _instead(action, value), share=share, action=action)

    @classmethod
    def between(
        cls, column: str, least: Any = None, greatest: Any = None, *, share: float = 0.0,
        action: str = "warn", value: Any = None,
    ) -> Check:  # fmt: skip
        """Every value is in ``[least, greatest]``; None: no limit on that side."""
        if least is None and greatest is None:
            raise DefinitionError("between needs a limit", got=column)
        options = {"least": _plain(least), "greatest": _plain(greatest)} | _instead(action, value)
        return cls("between", [column], options, share=share, action=action)

    @classmethod
    def in_set(
        cls, column: str, values: Iterable[Any], *, share: float = 0.0, action: str = "warn",
        value: Any = None,
    ) -> Check:  # fmt: skip
        """Every value is one of ``values``."""
        listed = [_plain(each) for each in _listed(values, "values")]
        options = {"values": listed} | _instead(action, value)
        return cls("in_set", [column], options, share=share, action=action)

    @classmethod
    def matches(
        cls, column: str, pattern: str, *, share: float = 0.0, action: str = "warn"
    ) -> Check:
        """Every text matches a regular expression (RE2) as a whole."""
        if why := _no_pattern(pattern):
            raise DefinitionError("not a regular expression", got=f"{shown(pattern)}: {why}")
        return cls("matches", [column], {"pattern": pattern}, share=share, action=action)

    @classmethod
    def unique(cls, *columns: str, share: float = 0.0, action: str = "warn") -> Check:
        """No two rows have the same values of ``columns``; rows with a null among them pass.

        Rows are told apart by 64 bits of hash: of ten million different rows two are taken for the
        same with a chance of 3 in a million.
        """
        return cls("unique", columns, {}, share=share, action=action)

    @classmethod
    def monotonic(cls, column: str, *, share: float = 0.0, action: str = "warn") -> Check:
        """No value is less than the one before it, in the order in which rows are read."""
        return cls("monotonic", [column], {}, share=share, action=action)

    @classmethod
    def sums_to(
        cls, columns: Iterable[str], total: str, *, within: float = 0.0, share: float = 0.0,
        action: str = "warn",
    ) -> Check:  # fmt: skip
        """The sum of ``columns`` is that of column ``total``, give or take ``within``."""
        parts = _listed(columns, "columns")
        if not parts:
            raise DefinitionError("a sum of no columns", got=shown(columns))
        options = {"within": _number(within, "within")}
        return cls("sums_to", [*parts, total], options, share=share, action=action)

    @classmethod
    def expr(cls, condition: Expression, *, share: float = 0.0, action: str = "warn") -> Check:
        """A condition over the columns of a source holds (null passes)."""
        given: object = condition
        if not isinstance(given, Expression) or given.dtype.kind != "bool":
            raise DefinitionError("a check takes a condition", got=shown(condition))
        columns = {leaf.name: None for leaf in given.leaves() if isinstance(leaf, Column)}
        text = repr(condition).removesuffix(": Bool")
        options = {"expression": condition.to_dict(), "text": text}
        return cls("expr", list(columns), options, share=share, action=action)

    @classmethod
    def row_count(
        cls, least: int | None = None, greatest: int | None = None, *, action: str = "warn"
    ) -> Check:
        """There are so many rows."""
        if least is None and greatest is None:
            raise DefinitionError("row_count needs a limit", expected="least=, greatest= or both")
        for each in (least, greatest):
            given: object = each
            if not (each is None or (type(given) is int and each >= 0)):
                raise DefinitionError("a number of rows", got=shown(each), expected="0 or more")
        return cls("row_count", [], {"least": least, "greatest": greatest}, action=action)

    @classmethod
    def change_of_count(cls, most: float, *, action: str = "warn") -> Check:
        """The number of rows is not further than a share from that of the check before."""
        return cls("change_of_count", [], {"most": _number(most, "most")}, action=action)

    @classmethod
    def mean_between(
        cls, column: str, least: float, greatest: float, *, action: str = "warn"
    ) -> Check:
        """The mean of all values is in ``[least, greatest]``."""
        options = {"least": _number(least, "least"), "greatest": _number(greatest, "greatest")}
        return cls("mean_between", [column], options, action=action)

    @classmethod
    def fresh(cls, within: str, *, action: str = "warn") -> Check:
        """The newest row is at most so old: ``"2h"``."""
        return cls("fresh", [], {"within": parse_duration(within, what="an age")}, action=action)

    @property
    def is_of_rows(self) -> bool:
        """Whether single rows fail it."""
        return self.kind not in _WHOLE

    @property
    def is_of_values(self) -> bool:
        """Whether it sets rows aside or alters values, and so is part of versions."""
        return bool(ACTIONS[self.action])

    def fitted(self, types: Mapping[str, DType], where: str) -> Check:
        """Return the check with its values as the columns have them.

        Raises:
            UnknownName: no such column.
            DefinitionError: a column or a value of another type.
        """
        for column in self.columns:
            if column not in types:
                raise UnknownName.of("column", column, types, where=where)
            self._check_type(types[column], column, where)
        if self.kind not in ("between", "in_set") and "value" not in self.options:
            return self
        dtype, options = types[self.columns[0]], dict(self.options)
        try:
            for name, value in options.items():
                several = isinstance(value, list)
                fitted = [_plain(dtype.coerce(each)) for each in (value if several else [value])]
                options[name] = fitted if several else fitted[0]
        except ValueError as problem:
            raise DefinitionError(
                f"a limit that no value of {self.columns[0]!r} can have", got=str(problem),
                where=where,
            ) from None  # fmt: skip
        return Check(self.kind, self.columns, options, share=self.share, action=self.action)

    def _check_type(self, dtype: DType, column: str, where: str) -> None:
        wanted = None
        if self.kind in _NUMBERS and not (dtype.is_numeric and dtype.kind != "decimal"):
            wanted = "a number"
        elif self.kind in _ORDERED and not (
            dtype.is_numeric or dtype.kind in ("timestamp", "date")
        ):
            wanted = "a number or a time"
        elif self.kind == "matches" and dtype.kind != "str":
            wanted = "text"
        if wanted is not None:
            got = f"{column} of type {dtype!r}"
            raise DefinitionError(f"{self.kind} takes {wanted}", got=got, where=where)

    def to_dict(self) -> dict[str, Any]:
        """Return the check as plain data."""
        data: dict[str, Any] = {"kind": self.kind, "columns": list(self.columns)}
        data |= {"options": self.options} if self.options else {}
        data |= {"share": self.share} if self.share else {}
        return data | ({"action": self.action} if self.action != "warn" else {})

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Check:
        """Return the check that `to_dict` wrote."""
        return cls(
            data["kind"], data["columns"], data.get("options", {}),
            share=data.get("share", 0.0), action=data.get("action", "warn"),
        )  # fmt: skip

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Check) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(str(self))

    def __str__(self) -> str:
        in_most = f" in {1 - self.share:.6g} of rows" if self.share else ""
        if self.share and round(self.share * 100, 6) % 1 == 0:
            in_most = f" in {100 - self.share * 100:.0f} % of rows"
        return self._said() + in_most

    def _said(self) -> str:
        options, names = self.options, ", ".join(self.columns)
        match self.kind:
            case "between" | "mean_between":
                what = f"mean of {names}" if self.kind == "mean_between" else names
                return f"{what} between {_limits(options)}"
            case "in_set":
                return f"{names} in {', '.join(map(str, options['values']))}"
            case "matches":
                return f"{names} matches {options['pattern']}"
            case "sums_to":
                *parts, total = self.columns
                return f"{' + '.join(parts)} = {total} within {options['within']:g}"
            case "expr":
                return str(options["text"])
            case "row_count":
                return f"rows between {_limits(options)}"
            case "change_of_count":
                return f"number of rows changes by at most {options['most']:.0%}"
            case "fresh":
                return f"newest row at most {format_duration(options['within'])} old"
        return f"{names} {self.kind.replace('_', ' ')}"

    def __repr__(self) -> str:
        value = f" {self.options['value']!r}" if self.action == "impute" else ""
        return f"Check({self}{f', else {self.action}{value}' if self.is_of_values else ''})"


def checked_list(given: Any, where: str) -> tuple[Check, ...]:
    """Return checks as they were given to a definition, or raise `DefinitionError`."""
    found = tuple(given or ()) if isinstance(given, (list, tuple)) or given is None else (given,)
    for each in found:
        if not isinstance(each, Check):
            expected = "such as sl.Check.not_null('amount')"
            raise DefinitionError("no check", got=shown(each), expected=expected, where=where)
    return found


def checks_of_words(words: Mapping[str, Words]) -> tuple[Check, ...]:
    """Return the checks that what is said of columns comes to: limits, sets, no nulls."""
    found = []
    for column, each in words.items():
        if each.nulls is False:
            found.append(Check.not_null(column))
        if each.between is not None and each.between != (None, None):
            found.append(Check.between(column, *each.between))
        if each.in_set:
            found.append(Check.in_set(column, each.in_set))
    return tuple(found)


def _check_action(action: object) -> None:
    if not isinstance(action, str) or action not in ACTIONS:
        raise DefinitionError("an action", got=shown(action), expected=" or ".join(ACTIONS))


def _listed(given: Any, what: str) -> list[Any]:
    """Return some values as a list; of a text it would be its letters."""
    try:
        if not isinstance(given, (str, bytes, bytearray, memoryview, Mapping)):
            return list(given)
    except TypeError:
        pass
    raise DefinitionError(f"{what} of a check are a list", got=shown(given))


def _number(given: object, what: str) -> float:
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not math.isfinite(given):
        raise DefinitionError(f"{what} of a check is a number", got=shown(given))
    return float(given)


def _no_pattern(pattern: object) -> str:
    """Return why a pattern is none, to Python or to RE2, which matches with it; "": it is one."""
    if not isinstance(pattern, str):
        return f"{type(pattern).__name__}, not text"
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        re.compile(pattern)
        pc.match_substring_regex(pa.array([""]), pattern)
    except (re.error, pa.ArrowInvalid, UnicodeError, OverflowError, RecursionError) as problem:
        return str(problem).splitlines()[0]
    return ""


def _instead(action: str, value: Any) -> dict[str, Any]:
    """Return what is imputed, as an option; of other actions there is none."""
    _check_action(action)
    if (action == "impute") != (value is not None):
        got = f"action={action!r}, value={shown(value)}"
        raise DefinitionError("impute and a value go together", got=got)
    return {} if value is None else {"value": _plain(value)}


def _plain(value: Any) -> Any:
    """Return a value as plain data; times as ISO 8601 text."""
    if isinstance(value, datetime):
        from skewless.clock import iso

        return iso(to_micros(value))
    return value if isinstance(value, (int, float, str, bool, type(None))) else str(value)


def _limits(options: Mapping[str, Any]) -> str:
    shown = ["anything" if options[n] is None else str(options[n]) for n in ("least", "greatest")]
    return " and ".join(shown)

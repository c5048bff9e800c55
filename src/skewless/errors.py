"""Every error skewless raises, as one tree.

An error says what happened, what it got, what it expected, where, and a hint:

>>> raise_me = UnknownName.of("column", "vd", ["vdd", "idd"], where="source 'wafer_tests'")
>>> print(raise_me)
source 'wafer_tests' has no column 'vd'. Columns: idd, vdd. Did you mean 'vdd'?
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Self

NEAR_WORDS = {
    "avg": "mean", "average": "mean", "stddev": "std", "stdev": "std", "variance": "var",
    "nunique": "n_unique", "distinct": "n_unique", "count_distinct": "n_unique", "last": "latest",
    "percentile": "quantile", "len": "length", "size": "count", "isnull": "is_null",
    "notnull": "is_not_null", "fillna": "fill_null", "isin": "is_in", "astype": "cast",
    "most_common": "top_k", "minimum": "min", "maximum": "max", "total": "sum",
}  # fmt: skip
"""What others call what is here."""


_NEAR_TYPES = {
    "str": "str", "string": "str", "object": "str", "text": "str", "varchar": "str",
    "int": "int", "integer": "int", "int64": "int", "long": "int", "bigint": "int",
    "int32": "sl.Int32", "float": "float", "float64": "float", "double": "float",
    "float32": "sl.Float32", "bool": "bool", "boolean": "bool", "bytes": "bytes",
    "datetime": "datetime", "timestamp": "datetime", "datetime64": "datetime", "date": "date",
    "list": "list[float]", "dict": "sl.Map(float), sl.Struct({...}) or sl.Json",
}  # fmt: skip


def near_type(annotation: object) -> str | None:
    """Return the hint for a type of another library, or the name of one."""
    name = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    name = name or str(getattr(annotation, "name", annotation))
    near = _NEAR_TYPES.get(re.split(r"[\[( ]", name.lower().rstrip("_"))[0])
    return None if near is None else f"Did you mean {near}?"


class SkewlessError(Exception):
    """The root of the tree: catch it to catch everything skewless raises on purpose.

    Args:
        what: one sentence that says what went wrong.
        got: what was met.
        expected: what would have been right.
        where: the definition, file, row or address it happened at.
        hint: what to do about it.
    """

    def __init__(
        self,
        what: str,
        *,
        got: object = None,
        expected: object = None,
        where: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.what = what
        self.got = got
        self.expected = expected
        self.where = where
        self.hint = hint
        super().__init__(what)

    def __str__(self) -> str:
        parts = [self.what.rstrip(".") + "."]
        if self.got is not None:
            parts.append(f"Got: {self.got}.")
        if self.expected is not None:
            parts.append(f"Expected: {self.expected}.")
        if self.where is not None:
            parts.append(f"Where: {self.where}.")
        if self.hint is not None:
            parts.append(self.hint)
        return " ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Return the error as plain data, for ``--json`` and HTTP answers."""
        fields = {"what": self.what, "got": self.got, "expected": self.expected}
        fields |= {"where": self.where, "hint": self.hint}
        return {"error": type(self).__name__} | {
            name: value if isinstance(value, (int, float, bool, list, dict)) else str(value)
            for name, value in fields.items()
            if value is not None
        }


def said_by(problem: BaseException) -> str:
    """Return class and text of an exception, whosever it is: some fail when they are printed.

    >>> said_by(ValueError("odd"))
    'ValueError: odd'
    """
    try:
        text = str(problem)
    except Exception:  # noqa: BLE001 - whatever a class of somebody's raises
        return type(problem).__name__
    return f"{type(problem).__name__}: {text:.200}"


def from_dict(data: Mapping[str, Any]) -> SkewlessError:
    """Return the error that was made plain data by `SkewlessError.to_dict`: of the same class.

    Args:
        data: ``error`` (an unknown class is a `SkewlessError`), ``what``, and the other parts.

    Raises:
        KeyError, TypeError, AttributeError: it is not such data.
    """
    kind, waiting = SkewlessError, [SkewlessError]
    while waiting:
        found = waiting.pop()
        if found.__name__ == data["error"]:
            kind = found
        waiting += found.__subclasses__()
    parts = {name: data.get(name) for name in ("got", "expected", "where", "hint")}
    texts = data["what"], parts["where"] or "", parts["hint"] or ""
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("what went wrong, where, and a hint are texts")
    return kind(data["what"], **parts)


class DefinitionError(SkewlessError, ValueError):
    """A definition (entity, source, view, service) is wrong; raised where it is written."""


class FunctionNotFound(DefinitionError):
    """The function of a definition cannot be used: it is not there, or its text has changed."""

    def to_dict(self) -> dict[str, Any]:
        """Return what a `DefinitionError` does."""
        return super().to_dict() | {"error": DefinitionError.__name__}


class UnknownName(SkewlessError, LookupError):
    """A name that nothing answers to: column, feature, view, source, entity or service."""

    @classmethod
    def of(cls, kind: str, name: str, known: Iterable[str], *, where: str) -> Self:
        """Build the error for ``name`` of a ``kind``: what there is, and the closest match."""
        names = sorted(known)
        shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
        listing = f"{kind.capitalize()}s: {shown or 'none'}."
        text = str(name)  # whatever a caller asks for
        near = NEAR_WORDS.get(text.lower())
        close = [near] if near in names else difflib.get_close_matches(text, names, n=1)
        suggestion = f"{listing} Did you mean {close[0]!r}?" if close else listing
        return cls(f"{where} has no {kind} {name!r}", hint=suggestion)

    def as_attribute(self) -> UnknownAttribute:
        """Return the same error as one of attributes, which ``hasattr`` understands."""
        return UnknownAttribute(self.what, hint=self.hint)


class UnknownAttribute(UnknownName, AttributeError):
    """A column or feature, asked for as an attribute, that is not there."""

    def to_dict(self) -> dict[str, Any]:
        """Return what an `UnknownName` does."""
        return super().to_dict() | {"error": UnknownName.__name__}


class InputError(SkewlessError, ValueError):
    """Data or arguments handed to a verb are wrong: a spine, rows, a time, a key."""


class NaiveTime(InputError):
    """A datetime without a time zone; skewless never guesses one."""

    @classmethod
    def of(cls, value: object, *, where: str) -> Self:
        """Build the error for the naive ``value`` met at ``where``."""
        return cls(
            "a time without a time zone",
            got=repr(value),
            expected="a time with an offset, such as datetime(..., tzinfo=timezone.utc)",
            where=where,
            hint="If it is UTC say so: value.replace(tzinfo=timezone.utc).",
        )


class MissingColumn(InputError):
    """A table, frame or row lacks a column that is needed."""

    @classmethod
    def of(cls, column: str, present: Iterable[str], *, where: str) -> Self:
        """Build the error for ``column``, listing the columns that are ``present``."""
        names = list(map(str, present))  # a caller's mapping may have other keys
        close = difflib.get_close_matches(column, names, n=1)
        return cls(
            f"{where} lacks the column {column!r}",
            got=f"columns {', '.join(names) or 'none'}",
            hint=f"Did you mean {close[0]!r}?" if close else None,
        )


class RowsRefused(InputError):
    """Not one of the rows that were pushed came in: all are quarantined.

    Attributes:
        result: what became of them, as `FeatureStore.push` returns it where some come in.
    """

    result: Any = None

    @classmethod
    def of(cls, source: str, result: Any) -> Self:
        """Build the error for a push of which every row was set aside."""
        rejected = result.quarantined
        reasons = list(dict.fromkeys(each.reason for each in rejected))
        more = f" (and {len(reasons) - 1} other reasons)" if len(reasons) > 1 else ""
        problem = cls(
            f"no row came in: {len(rejected):,} of {len(rejected):,} are quarantined",
            got=f"{reasons[0]:.200}{more}",
            where=f"source {source!r}",
            hint="They are kept, with their reasons: quarantine() lists them.",
        )
        problem.result = result
        return problem


class CheckFailed(InputError):
    """A check whose action is ``block`` failed: a push, a training set or a run is refused.

    Attributes:
        results: the checks that failed, with what they found.
    """

    results: tuple[Any, ...] = ()


class RulesBroken(DefinitionError):
    """What an apply would add or change does not keep to the rules of ``[lint]``."""


class RegistryError(SkewlessError):
    """The registry refuses: a conflict, a breaking change, a newer format."""


class ConcurrentApply(RegistryError):
    """Somebody applied between this plan and its apply; plan again."""


class BreakingChange(RegistryError):
    """The plan would break a feature service or drop data and was not allowed to."""


class StoreError(SkewlessError):
    """A store failed: a full disk, a refused write, a broken file."""


class StoreUnavailable(StoreError):
    """A store cannot be reached right now; the same call may succeed later."""


class RowsKept(StoreError):
    """Rows are in the event log, but the online store did not take them: never send them again."""

    @classmethod
    def of(cls, source: str, rows: int, problem: StoreError) -> Self:
        """Build the error for rows of a source, of which an online store said ``problem``."""
        return cls(
            f"{rows:,} rows of source {source!r} were kept, but the online store did not take them",
            got=f"{type(problem).__name__}: {problem.what}"
            + (f" ({problem.got})" if problem.got else ""),
            where=problem.where,
            hint="Do not send them again: the next push or materialize catches up.",
        )


class CorruptData(StoreError):
    """Bytes on disk or in a store are not what they should be."""


class Conflict(StoreError):
    """Another writer holds what this call needs."""


class ConfigError(SkewlessError, ValueError):
    """``skewless.toml`` is wrong."""


class MissingDependency(SkewlessError, ImportError):
    """An optional library is not installed."""

    @classmethod
    def of(cls, library: str, extra: str, *, needed_for: str) -> Self:
        """Build the error for ``library``, which ``pip install 'skewless[extra]'`` brings."""
        return cls(
            f"{needed_for} needs {library}, which is not installed",
            hint=f"Install it with: pip install 'skewless[{extra}]'",
        )

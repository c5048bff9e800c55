"""Words on columns, join keys and features: what people and tools read; outside every fingerprint.

>>> amount = Column(float, "what was paid", unit="EUR", between=(0, 10_000), pii="sensitive")
>>> amount
Column(Float64, 'what was paid', unit='EUR', between=[0.0, 10000.0], pii='sensitive')
>>> Column(float, pii="secret")
Traceback (most recent call last):
    ...
skewless.errors.DefinitionError: not a class of personal data. Got: secret. \
Expected: direct, quasi or sensitive.

A change of words is never a change of a value or of a version: `plan` shows it, and the registry
keeps the newest.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from skewless.errors import DefinitionError
from skewless.types import dtype_of, shown

PII = ("direct", "quasi", "sensitive")


@dataclass(frozen=True)
class Words:
    """What is said of a column or a feature.

    Attributes:
        description: for people.
        unit: of its values: ``"V"``, ``"EUR"``, ``"ms"``.
        owner: who answers for it, where that is not the owner of the view or source.
        tags: name = value.
        between: the least and the greatest value that is expected.
        in_set: the values that are expected.
        nulls: whether nulls are expected; None: nothing is said.
        pii: personal data: ``"direct"`` (names a person), ``"quasi"`` (does so with others) or
            ``"sensitive"`` (says what is nobody else's business).
        phi: whether it is health information about a person.
        mnpi: whether it is material and not public (of a traded company).
        declassified: of a feature: why it is none of what the columns are that it is made of.
        was: what it was called before, see `skewless.plan.apply.renames`.
    """

    description: str = ""
    unit: str = ""
    owner: str = ""
    tags: Mapping[str, Any] = field(default_factory=dict)
    between: tuple[Any, Any] | None = None
    in_set: tuple[Any, ...] = ()
    nulls: bool | None = None
    pii: str | None = None
    phi: bool = False
    mnpi: bool = False
    declassified: str = ""
    was: str = ""

    def __post_init__(self) -> None:
        for name in ("description", "unit", "owner", "declassified", "was"):
            if not isinstance(getattr(self, name), str):
                raise DefinitionError(f"a {name} is text", got=shown(getattr(self, name)))
        if not isinstance(self.tags, Mapping):
            raise DefinitionError("tags are a mapping", got=shown(self.tags))
        if self.pii is not None and self.pii not in PII:
            expected = "direct, quasi or sensitive"
            raise DefinitionError("not a class of personal data", got=self.pii, expected=expected)
        for name in ("nulls", "phi", "mnpi"):
            if not isinstance(getattr(self, name), bool | None):
                raise DefinitionError(f"{name} is true or false", got=shown(getattr(self, name)))

    def to_dict(self) -> dict[str, Any]:
        """Return what is said as plain data, without what is not."""
        said = {each.name: getattr(self, each.name) for each in fields(self)}
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in said.items()}
        plain["tags"] = dict(self.tags)
        return {
            k: v for k, v in plain.items() if v not in (None, "", {}, []) and v is not False
        } | ({"nulls": False} if self.nulls is False else {})

    def prefixed(self, prefix: str) -> Words:
        """Return the words of a feature whose name has a prefix; its former name had it too."""
        return replace(self, was=prefix + self.was) if self.was else self

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Words:
        """Return the words that `to_dict` wrote."""
        said: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**said)

    def __bool__(self) -> bool:
        return bool(self.to_dict())


class Column:
    """A column of a schema, of a function's results or a join key, with words about it.

    Args:
        dtype: its type, as it is written without words: ``float``, ``sl.Vector(3)``.
        description: for people.
        words: see `Words`: ``unit``, ``owner``, ``tags``, ``between=(least, greatest)``,
            ``in_set=[...]``, ``nulls``, ``pii``, ``phi``, ``mnpi``, ``was`` (the name before).

    Raises:
        DefinitionError: no type, or words that cannot be said of its values.

    Example:
        >>> import skewless as sl
        >>> tests = sl.Source(
        ...     "tests",
        ...     schema={"fab": str, "vdd": sl.Column(float, "supply voltage", unit="V")},
        ...     event_time="at",
        ... )
        >>> tests.words["vdd"].unit
        'V'
    """

    def __init__(self, dtype: object, description: str = "", **words: Any) -> None:
        self.dtype = dtype_of(dtype)
        known = [each.name for each in fields(Words)]
        for name in words:
            if name not in known:
                raise DefinitionError(
                    f"a column has no {name!r}", expected=f"one of {', '.join(known)}"
                )
        words["description"] = description
        if words.get("between") is not None:
            words["between"] = self._limits(words["between"])
        if "in_set" in words:
            words["in_set"] = tuple(self._value(value) for value in words["in_set"] or ())
        self.words = Words(**words)

    def _limits(self, between: Any) -> tuple[Any, Any]:
        if not isinstance(between, (tuple, list)) or len(between) != 2:
            expected = "(least, greatest)"
            raise DefinitionError("between takes two values", got=shown(between), expected=expected)
        least, greatest = map(self._value, between)
        if least is not None and greatest is not None and least > greatest:
            raise DefinitionError("between begins above its end", got=shown(between))
        return least, greatest

    def _value(self, value: Any) -> Any:
        """Return a value in its canonical form."""
        try:
            return self.dtype.coerce(value)
        except ValueError as problem:
            raise DefinitionError(
                "a limit that no value of the column can have", got=str(problem)
            ) from None

    def __repr__(self) -> str:
        said = self.words.to_dict()
        description = said.pop("description", "")
        shown = [repr(self.dtype), *([repr(description)] if description else [])]
        return f"Column({', '.join([*shown, *(f'{k}={v!r}' for k, v in said.items())])})"


def typed_and_words(given: Mapping[str, object]) -> tuple[dict[str, Any], dict[str, Words]]:
    """Return types by name, and the words of those that are written as `Column`.

    >>> typed_and_words({"a": float, "b": Column(int, unit="V")})[1]["b"].unit
    'V'
    """
    types = {k: v.dtype if isinstance(v, Column) else v for k, v in given.items()}
    words = {k: v.words for k, v in given.items() if isinstance(v, Column) and v.words}
    return types, words


def former_names(words: Mapping[str, Words], names: Collection[str], of: str) -> dict[str, str]:
    """Return name = former name of what says ``was``.

    Args:
        words: by name.
        names: of all columns or features there are.
        of: what they are of, for errors.

    Raises:
        DefinitionError: a former name that is its own, of two, or one that is still there.

    >>> former_names({"paid": Words(was="amount")}, ["paid"], "source 'tx'")
    {'paid': 'amount'}
    """
    found = {name: each.was for name, each in words.items() if each.was}
    check_former(found, names, of)
    return found


def check_former(found: Mapping[str, str], names: Collection[str], of: str) -> None:
    """Raise `DefinitionError` unless former names are of nothing there is, each of one thing."""
    taken: dict[str, str] = {}
    for name, was in found.items():
        if was in names:
            raise DefinitionError(
                f"{name!r} of {of} cannot have been {was!r}, which is there",
                hint="was= is the name of before a rename: that name goes.",
            )
        if was in taken:
            raise DefinitionError(f"{name!r} and {taken[was]!r} of {of} were both {was!r}")
        taken[was] = name


def words_dict(words: Mapping[str, Words]) -> dict[str, Any]:
    """Return what a definition's plain data says of words: nothing where there are none."""
    return {"words": {name: each.to_dict() for name, each in words.items()}} if words else {}


def words_from_dict(data: Mapping[str, Any]) -> dict[str, Words]:
    """Return the words in a definition's plain data."""
    return {name: Words.from_dict(each) for name, each in data.get("words", {}).items()}

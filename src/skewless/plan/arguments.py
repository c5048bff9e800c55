"""What callers hand to the verbs of the feature store, checked where it comes in.

A verb that takes the name of a definition takes the definition too:

>>> from skewless.definitions import Source
>>> name_of(Source("pays", schema={"amount": float}, event_time="at"), "source")
'pays'
>>> name_of(5, "source")
Traceback (most recent call last):
    ...
skewless.errors.InputError: not a source. Got: 5 (int). Expected: its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, NoReturn

from skewless.definitions import Entity, FeatureRef, FeatureView, OnDemandView, Source
from skewless.definitions.feature_service import FeatureService
from skewless.errors import InputError
from skewless.plan.results import OnlineResult, as_columns
from skewless.types import shown

_KINDS: dict[str, tuple[type, ...]] = {
    "source": (Source,),
    "view": (FeatureView, OnDemandView),
    "entity": (Entity,),
    "feature service": (FeatureService,),
    "source or view": (Source, FeatureView, OnDemandView),
}


def name_of(given: Any, kind: str) -> str:
    """Return the name of a definition: it may be given itself.

    Raises:
        InputError: it is neither.
    """
    if isinstance(given, str):
        return given
    if isinstance(given, _KINDS[kind]):
        name: str = given.name  # type: ignore[attr-defined]
        return name
    return refuse(given, f"a {kind}", "its name")


def any_name(given: Any) -> str:
    """Return the name of a definition of any kind, or the reference of a feature."""
    if isinstance(given, FeatureRef):
        return given.reference
    if isinstance(given, (Source, FeatureView, OnDemandView, Entity, FeatureService)):
        return given.name
    return given if isinstance(given, str) else refuse(given, "a definition", "its name")


def names_of(given: Any, kind: str) -> list[str] | None:
    """Return the names of some definitions; None stands for all of them."""
    if given is None:
        return None
    if isinstance(given, (str, *_KINDS[kind])):
        return [name_of(given, kind)]
    if not _is_several(given):
        refuse(given, f"{kind}s", "a name, several, or None for all")
    return [name_of(each, kind) for each in given]


def reference_of(given: Any) -> str:
    """Return the text ``View:feature`` of a reference to a feature."""
    if isinstance(given, FeatureRef):
        return given.reference
    return given if isinstance(given, str) else refuse(given, "a feature", "'View:feature'")


def check_features(given: Any) -> None:
    """Raise `InputError` unless features are asked for: a service, a view, references."""
    if type(given) is list and set(map(type, given)) == {str}:
        return  # what a service asks for again and again
    members = (str, FeatureView, OnDemandView, FeatureRef, FeatureService)
    expected = "a service or its name, a view, 'View:feature', or a list of these"
    if isinstance(given, members):
        return
    if isinstance(given, Mapping) or not isinstance(given, (Sequence, set, frozenset)):
        refuse(given, "features", expected)
    for each in given:
        if not isinstance(each, members):
            refuse(each, "a feature", expected)


def checked_entities(given: Any) -> Sequence[Mapping[str, Any]]:
    """Return entities, each a mapping of its join keys."""
    if type(given) is list and set(map(type, given)) <= {dict}:
        return given
    if isinstance(given, Mapping):
        return _of_columns(given) if _is_columns(given) else [given]
    if hasattr(given, "columns") or hasattr(given, "__arrow_c_stream__"):
        from skewless.stores.offline.as_table import as_table

        return _of_columns(as_columns(as_table(given, where="the entities")))
    if isinstance(given, (str, bytes)) or not _is_several(given):
        expected = "a dict of join keys for each entity, a dict of columns, or a frame"
        refuse(given, "a list of entities", expected)
    entities: list[Mapping[str, Any]] = [checked_entity(each) for each in given]
    return entities


def _is_columns(given: Mapping[str, Any]) -> bool:
    """Whether a mapping is one of columns, as Feast's clients send it, not of one entity's keys."""
    return bool(given) and all(
        isinstance(value, (list, tuple)) or (hasattr(value, "tolist") and hasattr(value, "__len__"))
        for value in given.values()
    )


def _of_columns(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    columns = {k: v if isinstance(v, (list, tuple)) else v.tolist() for k, v in given.items()}
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        refuse(lengths, "columns of entities", "columns of one length")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def checked_entity(given: Any) -> Mapping[str, Any]:
    """Return an entity, a mapping of its join keys."""
    return (
        given if isinstance(given, Mapping) else refuse(given, "an entity", "a dict of join keys")
    )


def _is_several(given: Any) -> bool:
    """Whether there is something to go through: NumPy's arrays of one number only look like it."""
    return isinstance(given, Iterable) and getattr(given, "ndim", 1) != 0


def checked_ids(given: Any) -> list[Any]:
    """Return row ids; a text or a mapping is not several of them."""
    if isinstance(given, (str, bytes, Mapping)) or not _is_several(given):
        refuse(given, "a list of row ids", "a list", "One row id is a list of one.")
    return list(given)


def checked_text(given: Any, what: str) -> str:
    """Return a text."""
    return given if isinstance(given, str) else refuse(given, what, "text")


def checked_count(given: Any, what: str) -> int:
    """Return a whole number that is not negative."""
    if isinstance(given, bool) or not isinstance(given, int) or given < 0:
        refuse(given, what, "a whole number, 0 or more")
    return given


def checked_served(given: Any) -> Any:
    """Return what was served: the path of a log, or results of reads, each looked at in turn."""
    if given is None or isinstance(given, (str, PathLike)):
        return given
    if isinstance(given, (bytes, Mapping)) or not _is_several(given):
        refuse(given, "what was served", _SERVED)
    return map(_result, given)


def _result(given: Any) -> OnlineResult:
    if not isinstance(given, OnlineResult):
        refuse(given, "what was served", _SERVED)
    return given


_SERVED = "the path of a served log, or results of get_online_features"


def check_tables(given: Any) -> None:
    """Raise `InputError` unless it says of sources which state of their tables is read."""
    if given is not None and not isinstance(given, Mapping):
        refuse(given, "states of tables", "{source: a moment, or what TrainingSet.tables says}")


def refuse(given: Any, what: str, expected: str, hint: str | None = None) -> NoReturn:
    """Raise the error for an argument of another kind."""
    raise InputError(
        f"not {what}", got=f"{shown(given)} ({type(given).__name__})", expected=expected, hint=hint
    )

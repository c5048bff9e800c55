"""What a plan may do to derived sources, and what it says of them.

Rows that were made stay what they are: they are the history of every view over them. So how they
are made cannot change under their name, nor can the source that they are made of become another.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from skewless.definitions import FeatureView, Source
from skewless.definitions.derivation import Derivation, unfit
from skewless.definitions.fingerprint import value_part
from skewless.definitions.repo import Definitions
from skewless.definitions.valued_view import view_of
from skewless.durations import format_duration
from skewless.errors import DefinitionError
from skewless.plan.apply.registry_state import SOURCE_STORAGE, Kind, RegistryState
from skewless.state.layout import StateLayout


def check_derived(
    current: RegistryState, wanted: Definitions, removals: Collection[tuple[Kind, str]]
) -> None:
    """Raise `DefinitionError` for a derived source that would be made otherwise after a plan.

    Args:
        current: what the registry holds.
        wanted: the definitions to have.
        removals: kinds and names of what goes.
    """
    there = {name for name in current.sources if ("source", name) not in removals}
    of_registry = {each.name for some in current.derived.values() for each in some}
    for name, source in wanted.sources.items():
        if name in current.sources and (source.derivation or name in of_registry):
            _check_same(current.sources[name], source)
    made = {name: current.sources[name] for name in of_registry & there} | dict(wanted.sources)
    for name, source in made.items():
        by = source.derivation
        if by is None:
            continue
        base = wanted.sources.get(by.source)
        if base is None and by.source in there:
            base = current.sources[by.source]
        why = "it is not there" if base is None else unfit(by, base)
        if why:
            raise DefinitionError(
                f"derived source {name!r} cannot be made of {by.source!r}",
                got=why,
                hint="Remove it in the same plan, or leave the other as it is.",
            )


def sources_of(views: Iterable[FeatureView], current: RegistryState) -> dict[str, str]:
    """Return the sources that views are over, at whatever remove, each with a view's name."""
    found: dict[str, str] = {}
    for view in views:
        for source in (view.source, *current.made_of(view.source)):
            found[source.name] = view.name
    return found


def derived_lines(by: Derivation) -> list[str]:
    """Return what is said of a derived source that is new: when it has rows, and what it costs."""
    if by.view is not None:
        return _value_lines(by)
    keys = ", ".join(by.by)
    return [
        f"a row for each {keys} of {by.source}, from {by.rows:,} rows on, {by.most:,} at most",
        f"run for each push that changes a group; kept: 8 bytes a row of {by.source}, by {keys}",
        *_chain_lines(by),
    ]


def _value_lines(by: Derivation) -> list[str]:
    """Return what is said of the values of a view: when there is one, and what a push reads."""
    if by.view is None or by.base is None:
        return [f"a row for each row of {by.source}: the values of a view"]
    view = view_of(by, by.base)
    span = StateLayout.of(view.row_entity, view.source, [view]).span
    reads = (
        f"all rows of its entities, since a window of {view.name} has no end"
        if span is None
        else f"rows of its entities within {format_duration(span)} of its own"
    )
    return [
        f"a row for each row of {by.source} that counts for {view.name}, with its values then",
        f"each push reads {reads}; kept: 8 bytes a row of {by.source}",
        *_chain_lines(by),
    ]


def _chain_lines(by: Derivation) -> list[str]:
    """Return what follows for a derived source that another is derived of."""
    if by.base is None or by.base.derivation is None:
        return []
    return [f"each change of a row of {by.source} is a row of its log from now on"]


def _check_same(before: Source, after: Source) -> None:
    was, will = (_values(source) for source in (before, after))
    if was == will:
        return
    changed = [name for name in {**was, **will} if was.get(name) != will.get(name)]
    if changed == ["derived"] and before.derivation and after.derivation:
        had, has = before.derivation.to_dict(), after.derivation.to_dict()
        changed = [name for name in has if had[name] != has[name]]
        changed = ["the text of its function" if name == "code" else name for name in changed]
    raise DefinitionError(
        f"derived source {before.name!r} would be made otherwise",
        got=f"other: {', '.join(changed)}",
        hint="Give what is made otherwise another name: views move to it, and the rows that were"
        " made stay what they are.",
    )


def _values(source: Source) -> dict[str, object]:
    values = value_part(source.to_dict())
    leave = (*SOURCE_STORAGE, "screens")  # the views over it have new versions of them
    return {name: value for name, value in values.items() if name not in leave}

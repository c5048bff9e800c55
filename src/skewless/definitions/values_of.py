"""The values of a feature view as a source: features over features.

>>> from skewless.definitions import Entity, FeatureView, Source
>>> tx = Source("tx", schema={"card": str, "amount": float}, event_time="at")
>>> view = FeatureView(
...     "Spend", entity=Entity("card", card=str), source=tx,
...     features={"hourly": tx.amount.sum("1h")},
... )
>>> values = Source.of(view)
>>> values, values.hourly.max("7d")
(Source(Spend_values), max of Spend_values.hourly over sliding 7d)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skewless.definitions.derivation import (
    LAST_ROW,
    OF_A_TABLE,
    SOURCE_ROW,
    Derivation,
    unfit,
)
from skewless.definitions.expressions import Column
from skewless.definitions.fingerprint import value_part
from skewless.definitions.source import Source, as_defined
from skewless.errors import DefinitionError


def values_of(view: Any, name: str | None, labels: Mapping[str, Any]) -> Source:
    """Return the values of a view as a source; see `Source.of`.

    Args:
        view: the `FeatureView`, which asks for it.
        name: of the source, or None.
        labels: for people.

    Raises:
        DefinitionError: a view in a role, over rows of which none are derived, or with names that
            clash.
    """
    base, where = as_defined(view.source), f"the values of view {view.name!r}"
    if view.is_role:
        hint = "Take those of the view itself, and its roles of the views over them."
        raise DefinitionError(f"{where} are of a role", hint=hint)
    taken = (*view.entity.key_names, base.event_time, LAST_ROW, SOURCE_ROW)
    if clash := [each for each in view.features if each in taken]:
        hint = f"Give feature {clash[0]!r} another name."
        raise DefinitionError(f"{where} have {clash[0]!r} from their rows", hint=hint)
    made = Source(
        f"{view.name}_values" if name is None else name,
        schema={
            **dict(view.entity.join_keys),
            **view.dtypes,
            SOURCE_ROW: int,
            LAST_ROW: int,
        },
        event_time=base.event_time,
        row_id=SOURCE_ROW,
        closed=view.source.closed,
        future=f"{base.future}us",
        was=f"{was}_values" if name is None and (was := view.labels.get("was")) else "",
        **{"description": f"The values of {view.name}, row by row.", **labels},
    )
    made.derivation = _derivation(view, base)
    if why := unfit(made.derivation, base):
        raise DefinitionError(
            f"{where} are no source",
            got=f"of source {base.name!r}: {why}",
            hint=None if base.table is None else OF_A_TABLE,
        )
    return made


def _derivation(view: Any, base: Source) -> Derivation:
    by = view.row_entity.key_names
    columns = tuple(sorted(_columns(view)))
    used = dict.fromkeys((*by, *columns, *base.row_id))
    plain = value_part(view.to_dict()) | {"entity": value_part(view.entity.to_dict())}
    return Derivation(
        source=base.name,
        by=by,
        rows=1,
        most=0,
        columns=columns,
        event_time=base.event_time,
        row_id=base.row_id,
        types={each: base.columns[each] for each in used},
        code={"path": "", "hash": ""},
        base=base,
        view=plain,
    )


def _columns(view: Any) -> set[str]:
    """Return the columns that the features of a view are computed from."""
    parts = [part for each in view.aggregates for part in (each.column, each.by, each.where)]
    leaves = [leaf for part in (view.where, *parts) if part is not None for leaf in part.leaves()]
    return {leaf.name for leaf in leaves if isinstance(leaf, Column)}

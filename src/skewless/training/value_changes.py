"""Every change of a view's values over a range of time, without a spine.

Values can change when a row comes to count, leaves its window, expires or is corrected. The
values are computed at each such moment, and moments that changed nothing are left out. Ages
(``since_last``, ``ewma``) move all the time; they are given at these moments only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from skewless.clock import ALWAYS, NEVER
from skewless.definitions import FeatureView
from skewless.definitions.source import exclusive_of
from skewless.errors import InputError
from skewless.online.runtime import Runtime
from skewless.plan.selection import split_view
from skewless.state.keys import KeyCodec
from skewless.training.training_set import training_set

Ints = npt.NDArray[np.int64]
_TIME = pa.timestamp("us", "UTC")


def value_changes(
    runtime: Runtime,
    view: str,
    entities: Sequence[Mapping[str, Any]] | None,
    start: int | None,
    end: int | None,
) -> pa.Table:
    """Return the changes; see `FeatureStore.read_features`."""
    name, version = split_view(view)
    found = runtime.state(fresh=True).view(name, version)
    if not isinstance(found, FeatureView):
        raise InputError(f"{view!r} is computed on demand and has no values of its own")
    until = runtime.clock.now() + 1 if end is None else end
    spine = _moments(runtime, found, entities, until)
    table = training_set(
        runtime, spine, view if version is None else [f"{view}:{f}" for f in found.features],
        timestamp="at", as_of="known", full_names=False, progress=None,
    ).to_arrow()  # fmt: skip
    table = table.filter(pa.array(_changed(table), pa.bool_()))
    if start is not None:
        table = table.filter(pc.greater_equal(table["at"], pa.scalar(start, _TIME)))
    return table


def _moments(
    runtime: Runtime,
    view: FeatureView,
    entities: Sequence[Mapping[str, Any]] | None,
    until: int,
) -> pa.Table:
    """Return keys and moments (column ``at``) at which values may change, sorted, each once."""
    row_keys, keys = list(view.row_entity.key_names), list(view.asked_entity.key_names)
    types = {key: dtype.arrow() for key, dtype in view.asked_entity.join_keys}
    history = runtime.history(view.source)
    wanted = None
    if view.constants and not set(keys) - set(view.constants):
        entities = [{}]
    if entities is not None:
        codec = KeyCodec(view.asked_entity)
        asked = [{**_mapping(entity), **view.constants} for entity in entities]
        found = [codec.decode(codec.encode(entity)) for entity in asked]
        wanted = pa.Table.from_pylist(found, schema=pa.schema(types))
    exclusive = exclusive_of(view.source)
    parts = [pa.schema({**types, "at": _TIME}).empty_table()]

    def add(table: pa.Table, at: Ints) -> None:
        inside = at < until
        table = table.rename_columns(keys)
        part = table.append_column("at", pa.array(at).cast(_TIME)).filter(pa.array(inside))
        parts.append(part if wanted is None else part.join(wanted, keys, join_type="inner"))

    for chunk in history.chunks(row_keys, end=until):
        table = chunk.table.select(row_keys)
        for at in _moments_of(view, chunk.event, exclusive, chunk.known):
            add(table, at)
    replaced = history.superseded()
    if len(replaced):
        some = (replaced.times > ALWAYS) & (replaced.times < NEVER)
        add(history.take(replaced.rows[some], row_keys), replaced.times[some])
    every = pa.concat_tables(parts).group_by([*keys, "at"]).aggregate([])
    found_moments = every.drop_null().sort_by([(key, "ascending") for key in (*keys, "at")])
    for key, value in view.constants.items():
        found_moments = found_moments.filter(pc.equal(found_moments[key], pa.scalar(value)))
    return found_moments.drop_columns(list(view.constants))


def _mapping(entity: object) -> Mapping[str, Any]:
    if not isinstance(entity, Mapping):
        raise InputError(
            "not an entity", got=repr(entity), expected="a mapping of join keys to values"
        )
    return entity


def _moments_of(view: FeatureView, event: Ints, exclusive: int, known: Ints) -> Iterator[Ints]:
    """Yield for each row the moments it can change a value at."""
    for window, expiry in {(each.window, each.expiry) for each in view.aggregates}:
        shift = exclusive + window.offset
        # That an entity was seen, and what stands for no rows, can change with any row.
        yield np.maximum(event + shift, known)
        for moments in window.turns(event):
            yield np.maximum(moments + shift, known)
        if expiry is not None:
            yield np.maximum(event + shift + expiry, known)


def _changed(table: pa.Table) -> list[bool]:
    """Return which rows differ from the row before in more than time."""
    keep, before = [], None
    for row in table.drop_columns(["at"]).to_pylist():
        keep.append(row != before)
        before = row
    return keep

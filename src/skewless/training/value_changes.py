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
from skewless.definitions.references import split_view
from skewless.definitions.source import exclusive_of
from skewless.errors import InputError
from skewless.online.runtime import Runtime
from skewless.state.keys import KeyCodec
from skewless.stores.offline.history import History
from skewless.training.training_set import training_set

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
_TIME = pa.timestamp("us", "UTC")


def value_changes(
    runtime: Runtime,
    view: str,
    entities: Sequence[Mapping[str, Any]] | None,
    start: int | None,
    end: int | None,
) -> pa.Table:
    """Return the changes; see `FeatureStore.read_features`."""
    found = runtime.state(fresh=True).view(*split_view(view))
    if not isinstance(found, FeatureView):
        raise InputError(f"{view!r} is computed on demand and has no values of its own")
    until = runtime.clock.now() + 1 if end is None else end
    history = runtime.history(found.source)
    spine = _moments(history, found, entities, start, until)
    table = training_set(
        runtime, spine, features_of(runtime, view),
        timestamp="at", as_of="known", full_names=False, progress=None,
        tables={found.source.name: history},
    ).to_arrow()  # fmt: skip
    table = table.filter(pa.array(_changed(table.drop_columns(["at"]))))
    if start is not None:
        table = table.filter(pc.greater_equal(table["at"], pa.scalar(start, _TIME)))
    return table


def features_of(runtime: Runtime, view: str) -> str | list[str]:
    """Return what asks for the features of a view, or of the version of it that is named."""
    name, version = split_view(view)
    if version is None:
        return view
    return [f"{view}:{feature}" for feature in runtime.state().view(name, version).features]


def _moments(
    history: History,
    view: FeatureView,
    entities: Sequence[Mapping[str, Any]] | None,
    start: int | None,
    until: int,
) -> pa.Table:
    """Return keys and moments (column ``at``) at which values may change, sorted, each once.

    Of the moments before ``start`` each entity has the last, with which its first is compared.
    """
    row_keys, keys = list(view.row_entity.key_names), list(view.asked_entity.key_names)
    wanted = _wanted(view, entities)
    if wanted is not None:
        values = zip(row_keys, wanted.columns, strict=True)
        some = {key: pc.unique(each) for key, each in values}
        history.narrow(end=until, keys={key: each.to_pylist() for key, each in some.items()})
        history.only(some)
    exclusive = exclusive_of(view.source)
    found = _Moments(view, wanted, ALWAYS if start is None else start, until)
    for chunk in history.chunks(row_keys, end=until):
        table, mask = found.asked(chunk.table.select(row_keys))
        event, known = chunk.event, chunk.known
        if mask is not None:
            event, known = event[mask], known[mask]
        found.add(table, _moments_of(view, event, exclusive, known))
    replaced = history.superseded()
    if len(replaced):
        ended = (replaced.times > ALWAYS) & (replaced.times < NEVER)
        table, mask = found.asked(history.take(replaced.rows[ended], row_keys))
        times = replaced.times[ended]
        found.add(table, iter([times if mask is None else times[mask]]))
    moments = found.table().sort_by([(key, "ascending") for key in (*keys, "at")])
    for key, value in view.constants.items():
        moments = moments.filter(pc.equal(moments[key], pa.scalar(value)))
    return moments.drop_columns(list(view.constants))


def _wanted(view: FeatureView, entities: Sequence[Mapping[str, Any]] | None) -> pa.Table | None:
    """Return the join keys of the entities that are asked for; None: all."""
    if view.constants and not set(view.asked_entity.key_names) - set(view.constants):
        entities = [{}]
    if entities is None:
        return None
    codec = KeyCodec(view.asked_entity)
    asked = [{**_mapping(entity), **view.constants} for entity in entities]
    found = [codec.decode(codec.encode(entity)) for entity in asked]
    return pa.Table.from_pylist(found, schema=_key_schema(view))


def _key_schema(view: FeatureView) -> pa.Schema:
    return pa.schema({key: dtype.arrow() for key, dtype in view.asked_entity.join_keys})


class _Moments:
    """Collects moments, and of those before the start the last of each entity alone.

    Args:
        view: whose.
        wanted: join keys of the entities asked for; None: all.
        start: of the range, microseconds.
        until: its end.
    """

    def __init__(self, view: FeatureView, wanted: pa.Table | None, start: int, until: int) -> None:
        self._keys = list(view.asked_entity.key_names)
        self._wanted, self._start, self._until = wanted, start, until
        schema = _key_schema(view).append(pa.field("at", _TIME))
        self._inside, self._before = [schema.empty_table()], schema.empty_table()

    def asked(self, table: pa.Table) -> tuple[pa.Table, Bools | None]:
        """Return the keys of rows of entities that may be asked for, and which rows those are."""
        table = table.select(range(len(self._keys))).rename_columns(self._keys)
        if self._wanted is None or not self._keys:
            return table, None
        mask = np.ones(len(table), bool)
        for key in self._keys:
            mask &= np.asarray(pc.is_in(table[key], pc.unique(self._wanted[key])))
        return table.filter(pa.array(mask)), mask

    def add(self, keys: pa.Table, moments: Iterator[Ints]) -> None:
        """Take the moments that rows of these keys have."""
        last = np.full(len(keys), ALWAYS)
        for at in moments:
            inside = (at >= self._start) & (at < self._until)
            self._inside.append(_at(keys, at, inside))
            last = np.maximum(last, np.where(at < self._start, at, ALWAYS))
        if (some := last > ALWAYS).any():
            both = pa.concat_tables([self._before, _at(keys, last, some)])
            self._before = self._newest(both)

    def _newest(self, moments: pa.Table) -> pa.Table:
        newest = moments.group_by(self._keys).aggregate([("at", "max")])
        return newest.rename_columns({"at_max": "at"}).select([*self._keys, "at"])

    def table(self) -> pa.Table:
        """Return all moments, each once."""
        inside = pa.concat_tables(self._inside).group_by([*self._keys, "at"]).aggregate([])
        inside = inside.drop_null()
        if self._wanted is not None and len(self._keys) > 1:
            inside = inside.join(self._wanted, self._keys, join_type="left semi")
        before = self._before.drop_null()
        if self._keys:
            before = before.join(inside, self._keys, join_type="left semi")
        elif not len(inside):
            before = before.slice(0, 0)
        return pa.concat_tables([inside, before.select(inside.column_names)])


def _at(keys: pa.Table, at: Ints, some: Bools) -> pa.Table:
    return keys.append_column("at", pa.array(at).cast(_TIME)).filter(pa.array(some))


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


def _changed(table: pa.Table) -> Bools:
    """Return which rows differ from the row before."""
    changed: Bools = np.arange(len(table)) == 0
    for column in table.columns if len(table) > 1 else []:
        changed[1:] |= _differs(column.slice(1), column.slice(0, len(table) - 1))
    return changed


def _differs(one: pa.ChunkedArray, other: pa.ChunkedArray) -> Bools:
    """Return where values, or whether they are null, differ."""
    if pa.types.is_nested(one.type):
        pairs = zip(one.to_pylist(), other.to_pylist(), strict=True)
        return np.array([value != before for value, before in pairs], bool)
    apart: Bools = np.asarray(pc.fill_null(pc.not_equal(one, other), False))
    nulls: Bools = np.asarray(pc.xor(one.is_null(), other.is_null()))
    return apart | nulls

"""Sending a task to another process: as bytes that hold no secret, and reading it there again.

    data = packed(task)                # no table, no stream, no address of a server in it
    for batch in run(data, batches):   # in the other process
        ...

Definitions name where their rows lie; a task says what is computed. So whatever a definition says
of tables and streams is left out, wherever in the task it stands. On-demand functions travel as
they are where ``cloudpickle`` is installed, else only those of modules that both sides can import.
"""

from __future__ import annotations

import functools
import io
import pickle
from collections.abc import Iterator
from typing import Any, Protocol, cast

import pyarrow as pa

from skewless.definitions.tables import Located
from skewless.errors import InputError

Batches = Iterator[pa.RecordBatch]


class Task(Protocol):
    """What is done with some rows: pure, and the only thing that an engine's workers call.

    Attributes:
        schema: of the rows that come out.
    """

    @property
    def schema(self) -> pa.Schema: ...

    def __call__(self, batches: Batches) -> Batches:
        """Yield the rows that come of some rows."""


def packed(task: object) -> bytes:
    """Return a task as bytes.

    Raises:
        InputError: it holds what no other process can have, such as a function of a module that
            is not importable there.
    """
    buffer = io.BytesIO()
    try:
        _pickler()(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(task)
    except (pickle.PicklingError, TypeError, AttributeError) as problem:
        raise InputError(
            "definitions that cannot be sent to other processes",
            got=str(problem)[:300],
            hint="Install cloudpickle, or put on-demand functions in a module that every worker"
            " can import.",
        ) from problem
    return buffer.getvalue()


@functools.lru_cache(maxsize=64)
def unpacked(data: bytes) -> Any:
    """Return the task that `packed` wrote; each worker reads it once."""
    return pickle.loads(data)


def run(data: bytes, batches: Batches) -> Batches:
    """Yield what a packed task makes of some rows, as its schema has them."""
    task = cast(Task, unpacked(data))
    for batch in task(batches):
        yield conformed(batch, task.schema)


def run_table(data: bytes, table: pa.Table) -> pa.Table:
    """Return what a packed task makes of the rows of a table."""
    return pa.Table.from_batches(run(data, iter(table.to_batches())), unpacked(data).schema)


def conformed(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return rows with the columns of a schema, of its types."""
    columns = [recast(batch.column(field.name), field.type) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def recast(column: pa.Array, dtype: pa.DataType) -> pa.Array:
    """Return a column as another type that holds the same values."""
    if column.type == dtype:
        return column
    if pa.types.is_fixed_size_list(dtype) and column.null_count == len(column):
        return pa.nulls(len(column), dtype)
    return column.cast(dtype)


def shippable(dtype: pa.DataType) -> pa.DataType:
    """Return the type as which a column travels: every engine has lists, few those of one size."""
    if pa.types.is_fixed_size_list(dtype) or pa.types.is_list(dtype):
        return pa.list_(shippable(dtype.value_type))
    if pa.types.is_struct(dtype):
        return pa.struct([pa.field(each.name, shippable(each.type)) for each in dtype])
    if pa.types.is_map(dtype):
        return pa.map_(dtype.key_type, shippable(dtype.item_type))
    return dtype


def _nowhere() -> None:
    """What a table or a stream is in another process."""
    return


@functools.cache
def _pickler() -> Any:
    try:
        from cloudpickle import Pickler
    except ImportError:
        from pickle import Pickler
    base: Any = Pickler

    class WithoutPlaces(base):  # type: ignore[misc]
        """Leaves out where rows lie."""

        def reducer_override(self, thing: Any) -> Any:
            if isinstance(thing, Located):
                return _nowhere, ()
            found = getattr(super(), "reducer_override", None)
            return NotImplemented if found is None else found(thing)

    return WithoutPlaces

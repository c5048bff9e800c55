"""Arrow columns as the kernels take them: numbers, masks, codes of distinct values."""

from __future__ import annotations

from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.uint8]


class Coded:
    """Numbers the distinct values of columns, once for all windows over the same rows."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[Ints, int]] = {}
        self._ranked: dict[str, tuple[Ints, pa.Array]] = {}
        self._lock = Lock()

    def of(self, key: str, column: pa.Array) -> tuple[Ints, int]:
        """Return the code of each value (of nulls, 0) and how many codes there are."""
        with self._lock:
            if key not in self._found:
                if pa.types.is_floating(column.type):
                    column = pc.add(column, 0.0)  # -0.0 and 0.0 are one value
                encoded = column.dictionary_encode()
                codes = np.asarray(pc.fill_null(encoded.indices, 0)).astype(np.int64)
                self._found[key] = codes, max(len(encoded.dictionary), 1)
            return self._found[key]

    def ranked(self, key: str, column: pa.Array) -> tuple[Ints, pa.Array]:
        """Return the place of each value among the distinct ones (of nulls, any), and those."""
        with self._lock:
            if key not in self._ranked:
                if pa.types.is_floating(column.type):
                    column = pc.add(column, 0.0)
                encoded = column.dictionary_encode()
                values = encoded.dictionary
                order = pc.array_sort_indices(
                    values.cast(pa.uint8()) if pa.types.is_boolean(values.type) else values
                )
                rank = np.zeros(max(len(order), 1), np.int64)
                rank[np.asarray(order)] = np.arange(len(order))
                codes = np.asarray(pc.fill_null(encoded.indices, 0)).astype(np.int64)
                self._ranked[key] = rank[codes], values.take(order)
            return self._ranked[key]


def valid_of(column: pa.Array | None) -> Flags | None:
    """Return which values are not null, as bytes; None where all are."""
    if column is None or column.null_count == 0:
        return None
    return np.asarray(column.is_valid()).view(np.uint8)


def is_number(kind: pa.DataType) -> bool:
    """Return whether values of an Arrow type are numbers that arrays hold exactly."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def as_numbers(column: pa.Array) -> Any:
    """Return a numeric column as float64 or int64; nulls become 0."""
    if column.null_count:
        column = pc.fill_null(column, pa.scalar(0, column.type))
    values = column.to_numpy(zero_copy_only=False)
    return values.astype(np.int64 if pa.types.is_integer(column.type) else np.float64, copy=False)


def order_of(values: npt.NDArray[np.float64]) -> Ints:
    """Return integers in the order of floats, with -0.0 below 0.0."""
    bits = values.view(np.int64)
    return np.where(bits < 0, bits ^ np.int64(2**63 - 1), bits)

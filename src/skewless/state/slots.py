"""How one column value lies in the online store: fixed bytes in the row, or bytes in a tail.

A slot is a column of the packed rows. Fixed types lie in the row itself; text, bytes and nested
values lie in the tail, with their length in the row.

>>> from skewless.types import Float64, String
>>> Slot("x", Float64).field, Slot("y", String).field
('<f8', '<u4')
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal as PyDecimal
from typing import TYPE_CHECKING, Any

from skewless.clock import from_micros, to_micros
from skewless.types import DType, decimal_of, digits_of, python_values

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_FIXED = {
    "bool": "|u1", "int32": "<i4", "int64": "<i8", "float32": "<f4", "float64": "<f8",
    "timestamp": "<i8", "date": "<i4", "decimal": "|V16",
}  # fmt: skip
_STRUCT = {
    "bool": "B", "int32": "i", "int64": "q", "float32": "f", "float64": "d",
    "timestamp": "q", "date": "i", "decimal": "16s",
}  # fmt: skip
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Slot:
    """A column of the packed rows.

    Attributes:
        key: what the column holds: the text form of a row expression.
        dtype: the type of its values.
    """

    key: str
    dtype: DType

    @property
    def fixed(self) -> bool:
        """Whether values lie in the row itself."""
        return self.dtype.kind in _FIXED or self.dtype.kind == "vector"

    @property
    def field(self) -> Any:
        """The NumPy form of the value in the row; of values in the tail, that of their length."""
        if self.dtype.kind == "vector":
            return f"({self.dtype.size},)<f4"
        return _FIXED.get(self.dtype.kind, "<u4")

    @property
    def struct_code(self) -> str:
        """The same as a code of the ``struct`` module."""
        if self.dtype.kind == "vector":
            return f"{4 * self.dtype.size}s"
        return _STRUCT.get(self.dtype.kind, "I")

    def pack_fixed(self, column: pa.Array) -> np.ndarray:
        """Return a column of canonical Arrow type as values of `field`; nulls become zero."""
        import numpy as np
        import pyarrow as pa

        kind, size = self.dtype.kind, len(column)
        if kind == "decimal":
            column = _without_nulls(column, PyDecimal(0))
            data = np.frombuffer(column.buffers()[1], dtype="V16")
            return data[column.offset : column.offset + size]
        if kind == "vector":
            width = self.dtype.size
            if column.null_count:
                filled = [v or [0.0] * width for v in column.to_pylist()]
                return np.array(filled, dtype="<f4").reshape(size, width)
            return np.asarray(column.flatten()).reshape(size, width)
        if kind == "timestamp":
            column = column.cast(pa.int64())
        elif kind == "date":
            column = column.cast(pa.int32())
        if column.null_count:
            column = _without_nulls(column, False if kind == "bool" else 0)
        return np.asarray(column.to_numpy(zero_copy_only=False)).astype(self.field, copy=False)

    def pack_tail(self, column: pa.Array) -> list[bytes]:
        """Return the bytes of each value of a column; of nulls, none."""
        kind = self.dtype.kind
        if kind in ("str", "json"):
            return [b"" if v is None else v.encode() for v in column.to_pylist()]
        if kind == "bytes":
            return [b"" if v is None else v for v in column.to_pylist()]
        import msgspec

        encode = msgspec.msgpack.Encoder(decimal_format="string").encode
        return [b"" if v is None else encode(v) for v in python_values(column)]

    def pack_value(self, value: Any) -> Any:
        """Return one value as `struct_code` takes it, or as bytes for the tail; not for null."""
        match self.dtype.kind:
            case "timestamp":
                return to_micros(value)
            case "date":
                return (value - _EPOCH).days
            case "decimal":
                return digits_of(value, self.dtype.scale).to_bytes(16, "little", signed=True)
            case "vector":
                return struct.pack(f"<{self.dtype.size}f", *value)
            case "str" | "json":
                return value.encode()
            case "list" | "map" | "struct":
                import msgspec

                return msgspec.msgpack.Encoder(decimal_format="string").encode(value)
            case _:
                return value

    def unpack(self, raw: Any) -> Any:
        """Return the Python value of what `struct_code` or the tail gave."""
        match self.dtype.kind:
            case "bool":
                return bool(raw)
            case "timestamp":
                return from_micros(raw)
            case "date":
                return _EPOCH + timedelta(days=raw)
            case "decimal":
                return decimal_of(int.from_bytes(raw, "little", signed=True), self.dtype.scale)
            case "vector":
                import numpy as np

                return np.frombuffer(raw, dtype="<f4").tolist()
            case "str" | "json":
                return bytes(raw).decode()
            case "bytes":
                return bytes(raw)
            case "list" | "map" | "struct":
                import msgspec

                return self.dtype.coerce(msgspec.msgpack.decode(raw))
            case _:
                return raw

    def to_arrow(self, values: np.ndarray, nulls: np.ndarray) -> pa.Array:
        """Return values of a fixed slot as an Arrow array, null where ``nulls`` is true."""
        import numpy as np
        import pyarrow as pa

        kind = self.dtype.kind
        if kind == "bool":
            values = values.astype(bool)
        elif kind == "decimal":
            shown = [None if n else self.unpack(v.tobytes())
                     for v, n in zip(values, nulls, strict=True)]  # fmt: skip
            return pa.array(shown, type=self.dtype.arrow())
        elif kind == "vector":
            flat = pa.array(np.ascontiguousarray(values).reshape(-1), type=pa.float32())
            mask = pa.array(nulls) if nulls.any() else None
            return pa.FixedSizeListArray.from_arrays(flat, self.dtype.size, mask=mask)
        mask = nulls if nulls.any() else None
        array = pa.array(np.ascontiguousarray(values), mask=mask)
        return array.cast(self.dtype.arrow()) if kind in ("timestamp", "date") else array


def _without_nulls(column: pa.Array, value: Any) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.null_count == 0:
        return column
    return pc.fill_null(column, pa.scalar(value, type=column.type))

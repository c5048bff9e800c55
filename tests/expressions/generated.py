"""Random expressions and random rows, for properties that hold for all of them."""

import math
import struct
from datetime import UTC, date, datetime
from decimal import Decimal

from hypothesis import strategies as st

from skewless.definitions.expressions import Cast, Literal, Operation, Request
from skewless.types import Bool, Date, Float32, Float64, Int32, Int64, String, Timestamp, dtype_of
from skewless.types import Decimal as DecimalType

_WHOLE = [0, 1, -1, 2, 7, -7, 2**31 - 1, -(2**31), 2**53, 2**53 + 1, 2**63 - 1, -(2**63)]
_REAL = [0.0, -0.0, 1.0, -1.5, 0.1, 5e-324, -5e-324, 2.2e-308, 1.7976931348623157e308, 1e16]
_TEXT = ["", "a", "Straße", "ΣΑΣ", "ǅ", "1", "-12", " 7", "1e3", "0x1F", "1_0", "+.5", "inf",
         "nan", "9223372036854775808", "\u00a0x\x1c", "😀", "9" * 30, "1e999"]  # fmt: skip

whole = st.sampled_from(_WHOLE) | st.integers(-(2**63), 2**63 - 1) | st.integers(-20, 20)
real = st.sampled_from([*_REAL, math.inf, -math.inf]) | st.floats(allow_nan=False)
real |= st.floats(-100, 100)
text = st.sampled_from(_TEXT) | st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
moment = st.datetimes(timezones=st.just(UTC)) | st.just(datetime(1969, 12, 31, 23, tzinfo=UTC))
day = st.dates() | st.just(date(1970, 1, 1))
_SMALL = DecimalType(12, 2)

VALUES = {
    "f": (Float64, real | st.just(math.nan)),
    "g": (Float64, real),
    "s": (Float32, st.floats(width=32)),
    "i": (Int64, whole),
    "j": (Int64, whole),
    "h": (Int32, st.integers(-(2**31), 2**31 - 1)),
    "t": (String, text),
    "u": (String, text),
    "b": (Bool, st.booleans()),
    "c": (Bool, st.booleans()),
    "at": (Timestamp, moment),
    "then": (Timestamp, moment),
    "on": (Date, day),
    "cash": (_SMALL, st.decimals(-(10**9), 10**9, places=2)),
    "wide": (dtype_of(Decimal), st.decimals(-(10**9), 10**9, places=9)),
}
rows = st.lists(
    st.fixed_dictionaries({name: st.none() | values for name, (_, values) in VALUES.items()}),
    min_size=1,
    max_size=12,
)

_LITERALS = {
    "int": whole, "float": real, "str": text, "bool": st.booleans(), "timestamp": moment,
}  # fmt: skip
_KIND = {
    Float64: "float", Float32: "float", Int64: "int", Int32: "int", String: "str", Bool: "bool",
    Timestamp: "timestamp", Date: "date", _SMALL: "decimal", dtype_of(Decimal): "decimal",
}  # fmt: skip
_CASTS = {
    "int": [("float", Int64), ("float", Int32), ("str", Int64), ("str", Int32), ("bool", Int64),
            ("int", Int32), ("int", Int64), ("bool", Int32)],
    "float": [("int", Float64), ("int", Float32), ("float", Float32), ("str", Float64),
              ("str", Float32), ("bool", Float64), ("decimal", Float64), ("bool", Float32)],
    "str": [("int", String), ("float", String), ("bool", String), ("date", String)],
    "bool": [("int", Bool)],
}  # fmt: skip
_RULES = {
    "int": [
        *[(name, ("int", "int")) for name in ("add", "subtract", "multiply", "modulo")],
        *[(name, ("int",)) for name in ("negate", "abs")],
        *[(name, ("timestamp",)) for name in ("year", "month", "day", "hour", "weekday")],
        *[(name, ("date",)) for name in ("year", "month", "day", "hour", "weekday")],
        ("length", ("str",)), ("coalesce", ("int", "int")), ("if_else", ("bool", "int", "int")),
    ],
    "float": [
        *[(name, pair) for pair in (("float", "float"), ("int", "float"), ("float", "int"))
          for name in ("add", "subtract", "multiply", "modulo", "divide", "power", "coalesce")],
        ("divide", ("int", "int")), ("power", ("int", "int")),
        *[(name, (kind,)) for name in ("sqrt", "log", "exp", "floor", "ceil")
          for kind in ("float", "int")],
        ("negate", ("float",)), ("abs", ("float",)), ("subtract", ("timestamp", "timestamp")),
        ("if_else", ("bool", "float", "int")), ("if_else", ("bool", "float", "float")),
    ],
    "str": [
        ("add", ("str", "str")), ("lower", ("str",)), ("upper", ("str",)), ("strip", ("str",)),
        ("coalesce", ("str", "str")), ("if_else", ("bool", "str", "str")),
    ],
    "bool": [
        *[(name, pair) for name in ("equal", "not_equal", "less", "less_equal", "greater",
                                    "greater_equal")
          for pair in (("int", "int"), ("float", "float"), ("int", "float"), ("str", "str"),
                       ("bool", "bool"), ("timestamp", "timestamp"), ("date", "date"),
                       ("decimal", "decimal"), ("decimal", "float"), ("int", "decimal"))],
        *[(name, ("bool", "bool")) for name in ("and", "or", "and", "or", "coalesce")],
        ("not", ("bool",)),
        *[("is_null", (kind,)) for kind in ("int", "float", "str", "bool", "timestamp")],
        *[(name, ("str", "str")) for name in ("contains", "starts_with", "ends_with")],
    ],
    "timestamp": [("coalesce", ("timestamp", "timestamp"))],
}  # fmt: skip


@st.composite
def expressions(draw, kind=None, depth=3):
    """An expression of any type over the columns of `VALUES`."""
    kind = kind or draw(st.sampled_from(["int", "float", "str", "bool"]))
    if depth and kind in _RULES and draw(st.integers(0, 9)) < 8:
        if kind in _CASTS and draw(st.integers(0, 9)) < 2:
            of, target = draw(st.sampled_from(_CASTS[kind]))
            return Cast(draw(expressions(of, depth - 1)), target)
        name, kinds = draw(st.sampled_from(_RULES[kind]))
        return Operation(name, tuple(draw(expressions(each, depth - 1)) for each in kinds))
    if kind in _LITERALS and draw(st.integers(0, 9)) < 3:
        return Literal(draw(_LITERALS[kind]))
    names = [name for name, (dtype, _) in VALUES.items() if _KIND[dtype] == kind]
    name = draw(st.sampled_from(names))
    return Request(name, VALUES[name][0])


def bits(value):
    """A value that equals another only if both are the same to the bit."""
    return struct.pack("<d", value) if isinstance(value, float) else (type(value).__name__, value)

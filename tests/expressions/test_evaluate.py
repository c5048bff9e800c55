import math
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import example, given

from skewless.definitions import Aggregate, FeatureRef, Request, Source, if_else
from skewless.definitions.expressions import Literal, Operation
from skewless.errors import MissingColumn
from skewless.expressions.evaluate import compile_scalar, evaluate, evaluate_scalar, leaf_key
from skewless.types import Float32, Int32, dtype_of
from tests.expressions.generated import VALUES, bits, expressions, rows

f, g = Request("f", float), Request("g", float)
i, j = Request("i", int), Request("j", int)
s, h = Request("s", Float32), Request("h", Int32)
t, u = Request("t", str), Request("u", str)
b, c = Request("b", bool), Request("c", bool)
at, then = Request("at", datetime), Request("then", datetime)
on, cash = Request("on", date), Request("cash", Decimal)
NOON = datetime(2024, 2, 29, 12, 30, tzinfo=UTC)
GREATEST, LEAST = 2**63 - 1, -(2**63)


def both(expression, **values):
    """The value of one row; columns of one row and of two must agree with it."""
    names = {leaf_key(leaf): leaf.dtype for leaf in expression.leaves() if hasattr(leaf, "name")}
    alone = evaluate_scalar(expression, values)
    for length in (1, 2):
        columns = {
            name: pa.array([values[name]] * length, dtype.arrow()) for name, dtype in names.items()
        }
        found = evaluate(expression, columns, length)
        assert found.type == expression.dtype.arrow()
        assert [bits(value) for value in found.to_pylist()] == [bits(alone)] * length
    return alone


@given(expressions(), rows)
@example(f / g, [{"f": 1.0, "g": -0.0}, {"f": math.inf, "g": math.inf}, {"f": None, "g": 1.0}])
@example(i * j, [{"i": GREATEST, "j": 2}, {"i": 3, "j": 4}, {"i": None, "j": 4}])
@example(i % j, [{"i": LEAST, "j": -1}, {"i": 7, "j": -3}, {"i": 7, "j": 0}])
def test_columns_and_single_rows_agree_to_the_bit(expression, rows):
    columns = {
        name: pa.array([row.get(name) for row in rows], dtype.arrow())
        for name, (dtype, _) in VALUES.items()
    }
    run = compile_scalar(expression)
    expected = [run({**dict.fromkeys(VALUES), **row}) for row in rows]
    found = evaluate(expression, columns, len(rows))
    assert found.type == expression.dtype.arrow()
    assert [bits(value) for value in found.to_pylist()] == [bits(value) for value in expected]


@given(expressions(), rows)
def test_the_value_of_a_row_does_not_depend_on_the_rows_beside_it(expression, rows):
    def columns(some):
        return {
            name: pa.array([row[name] for row in some], dtype.arrow())
            for name, (dtype, _) in VALUES.items()
        }

    together = evaluate(expression, columns(rows), len(rows)).to_pylist()
    alone = [evaluate(expression, columns([row]), 1)[0].as_py() for row in rows]
    assert [bits(value) for value in together] == [bits(value) for value in alone]


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        (f + g, {"f": None, "g": 1.0}),
        (i < j, {"i": 1, "j": None}),
        (t.contains("x"), {"t": None}),
        (at.year(), {"at": None}),
        (f.cast(str), {"f": None}),
        (~b, {"b": None}),
        (if_else(b, 1, 2), {"b": None}),
    ],
)
def test_null_in_is_null_out(expression, values):
    assert both(expression, **values) is None


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        (f - g, {"f": math.inf, "g": math.inf}),
        (f * g, {"f": math.inf, "g": 0.0}),
        (f % g, {"f": math.inf, "g": 2.0}),
        (f.sqrt(), {"f": -1.0}),
        (f.log(), {"f": -1.0}),
        (f.log(), {"f": 0.0}),
        (i.log(), {"i": 0}),
        (f**g, {"f": -8.0, "g": 1 / 3}),
        (f + 1.0, {"f": math.nan}),
        (f, {"f": math.nan}),
    ],
)
def test_a_result_that_is_not_a_number_is_null(expression, values):
    assert both(expression, **values) is None


def test_nan_is_null_to_conditions_and_fillings():
    assert both(f.is_null(), f=math.nan) is True
    assert both(f.fill_null(7.0), f=math.nan) == 7.0
    assert both(f > 1, f=math.nan) is None


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        (i + j, {"i": GREATEST, "j": 1}),
        (i - j, {"i": LEAST, "j": 1}),
        (i * j, {"i": 2**62, "j": 2}),
        (-i, {"i": LEAST}),
        (abs(i), {"i": LEAST}),
    ],
)
def test_an_integer_that_leaves_int64_is_null(expression, values):
    assert both(expression, **values) is None


def test_an_overflow_in_one_row_leaves_the_others_alone():
    columns = {"i": pa.array([GREATEST, 1, None, -5]), "j": pa.array([1, 1, 1, 1])}
    assert evaluate(i + j, columns, 4).to_pylist() == [None, 2, None, -4]


def test_int32_is_int64_in_arithmetic():
    assert both(h * h, h=2**31 - 1) == (2**31 - 1) ** 2


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        (f / g, {"f": 1.0, "g": 0.0}),
        (f / g, {"f": 1.0, "g": -0.0}),
        (i / j, {"i": 1, "j": 0}),
        (f % g, {"f": 1.0, "g": 0.0}),
        (i % j, {"i": 1, "j": 0}),
        (f**g, {"f": 0.0, "g": -1.0}),
        (f / 0, {"f": 1.0}),
    ],
)
def test_division_by_zero_is_null(expression, values):
    assert both(expression, **values) is None


def test_division_of_integers_is_correctly_rounded_as_in_python():
    assert both(i / j, i=7, j=2) == 3.5
    assert both(i / j, i=GREATEST, j=3) == GREATEST / 3
    assert both(i / j, i=2**53 + 1, j=2**53 + 3) == (2**53 + 1) / (2**53 + 3)


def test_modulo_has_the_sign_of_the_divisor():
    assert both(i % j, i=-7, j=3) == 2
    assert both(i % j, i=7, j=-3) == -2
    assert both(i % j, i=LEAST, j=-1) == 0
    assert both(f % g, f=-7.5, g=3.0) == 1.5
    assert math.copysign(1, both(f % g, f=6.0, g=-3.0)) == -1


def test_floats_beyond_the_greatest_are_infinite():
    assert both(f * g, f=1e308, g=10.0) == math.inf
    assert both(f.exp(), f=1000.0) == math.inf
    assert both(f**g, f=-10.0, g=401.0) == -math.inf


def test_rounding_keeps_the_sign_of_zero():
    assert math.copysign(1, both(f.ceil(), f=-0.5)) == -1
    assert both(f.floor(), f=-0.5) == -1.0
    assert both(f.floor(), f=-math.inf) == -math.inf
    assert both(i.floor(), i=3) == 3.0


def test_float32_is_widened_before_arithmetic():
    narrow = Float32.coerce(0.1)
    assert both(s + 0.0, s=narrow) == narrow
    assert both(s == 0.1, s=narrow) is False
    assert both(s.cast(str), s=narrow) == "0.10000000149011612"


def test_an_integer_beside_a_float_is_compared_as_float64():
    assert both(i == f, i=2**53 + 1, f=2.0**53) is True
    assert both(i < f, i=GREATEST, f=2.0**63) is False


def test_a_decimal_is_compared_exactly_with_integers_and_as_float64_with_floats():
    assert both(cash == i, cash=Decimal("3.000000000"), i=3) is True
    assert both(cash > i, cash=Decimal("3.000000001"), i=3) is True
    assert both(cash == 0.1, cash=Decimal("0.100000000")) is True


def test_text_is_compared_by_code_point():
    assert both(t < u, t="\uffff", u="😀") is True
    assert both(t < u, t="Z", u="a") is True


@pytest.mark.parametrize(
    ("left", "right", "conjunction", "disjunction"),
    [
        (True, None, None, True),
        (False, None, False, None),
        (None, True, None, True),
        (None, False, False, None),
        (None, None, None, None),
        (True, False, False, True),
    ],
)
def test_conditions_follow_kleene(left, right, conjunction, disjunction):
    assert both(b & c, b=left, c=right) is conjunction
    assert both(b | c, b=left, c=right) is disjunction


def test_is_in_is_any_equality():
    assert both(t.is_in(["a", "b"]), t="b") is True
    assert both(t.is_in(["a", "b"]), t="c") is False


def test_times_apart_are_seconds():
    assert both(at - then, at=NOON, then=datetime(2024, 2, 29, 12, 29, 59, 1, UTC)) == 0.999999 + 0
    far = datetime(9999, 12, 31, 23, 59, 59, 999999, UTC) - datetime(1, 1, 1, tzinfo=UTC)
    micros = (far.days * 86_400 + far.seconds) * 10**6 + far.microseconds
    found = both(at - then, at=datetime.max.replace(tzinfo=UTC),
                 then=datetime(1, 1, 1, tzinfo=UTC))  # fmt: skip
    assert found == micros / 10**6


def test_parts_of_times_are_those_of_utc_and_monday_is_0():
    parts = [at.year(), at.month(), at.day(), at.hour(), at.weekday()]
    assert [both(part, at=NOON) for part in parts] == [2024, 2, 29, 12, 3]
    before = datetime(1969, 12, 28, 23, 59, tzinfo=UTC)
    assert [both(part, at=before) for part in parts] == [1969, 12, 28, 23, 6]
    days = [on.year(), on.month(), on.day(), on.hour(), on.weekday()]
    assert [both(part, on=date(2024, 2, 26)) for part in days] == [2024, 2, 26, 0, 0]


def test_letters_change_case_as_in_python():
    assert both(t.upper(), t="straße") == "STRASSE"
    assert both(t.lower(), t="ΟΔΟΣ") == "οδος"
    assert both(t.lower(), t="ABC") == "abc"


def test_every_white_space_is_stripped_that_python_strips():
    spaces = "".join(chr(n) for n in range(0x110000) if chr(n).isspace())
    assert both(t.strip(), t=f"{spaces}a {spaces}") == "a"
    kept = [chr(n) for n in range(0x110000) if not 0xD800 <= n < 0xE000 and not chr(n).isspace()]
    assert evaluate(t.strip(), {"t": pa.array(kept)}, len(kept)).to_pylist() == kept


def test_length_counts_characters_and_parts_may_be_columns():
    assert both(t.length(), t="a😀") == 2
    assert both(t.contains(""), t="a") is True
    assert both(Operation("contains", (t, u)), t="wafer", u="af") is True
    assert both(t.starts_with("wa") & t.ends_with("er"), t="wafer") is True
    assert both(t + u, t="a", u="b") == "ab"


@pytest.mark.parametrize(
    ("expression", "values", "expected"),
    [
        (f.cast(int), {"f": -1.9}, -1),
        (f.cast(int), {"f": 2.0**63}, None),
        (f.cast(int), {"f": -(2.0**63)}, LEAST),
        (f.cast(int), {"f": math.inf}, None),
        (f.cast(Int32), {"f": 2147483647.9}, 2**31 - 1),
        (f.cast(Int32), {"f": 2147483648.0}, None),
        (i.cast(Int32), {"i": -(2**31)}, -(2**31)),
        (i.cast(Int32), {"i": 2**31}, None),
        (i.cast(float), {"i": 2**53 + 1}, float(2**53)),
        (f.cast(Float32), {"f": 1e39}, None),
        (f.cast(Float32), {"f": math.inf}, math.inf),
        (f.cast(Float32), {"f": 0.1}, Float32.coerce(0.1)),
        (i.cast(bool), {"i": -3}, True),
        (b.cast(int), {"b": True}, 1),
        (b.cast(str), {"b": True}, "True"),
        (f.cast(str), {"f": 1e16}, "1e+16"),
        (f.cast(str), {"f": 1.0}, "1.0"),
        (i.cast(str), {"i": LEAST}, str(LEAST)),
        (on.cast(str), {"on": date(2024, 2, 29)}, "2024-02-29"),
        (cash.cast(float), {"cash": Decimal("0.100000000")}, 0.1),
    ],
)
def test_a_cast_that_does_not_fit_is_null(expression, values, expected):
    assert both(expression, **values) == expected


@pytest.mark.parametrize(
    ("text", "whole", "real"),
    [
        ("12", 12, 12.0),
        ("-0012", -12, -12.0),
        ("+5", 5, 5.0),
        ("1.5", None, 1.5),
        (".5e1", None, 5.0),
        ("inf", None, math.inf),
        ("nan", None, None),
        ("1e999", None, None),
        (" 1", None, None),
        ("1_0", None, None),
        ("0x1F", None, None),
        ("٣", None, None),
        ("", None, None),
        ("9223372036854775808", None, 2.0**63),
        ("0" * 5000 + "1", 1, 1.0),
    ],
)
def test_text_to_number_is_strict(text, whole, real):
    assert both(t.cast(int), t=text) == whole
    assert both(t.cast(float), t=text) == real


def test_an_expression_without_leaves_has_a_value_in_every_row():
    assert evaluate(Literal(2) * 3, {}, 2).to_pylist() == [6, 6]
    assert evaluate(Literal(1) / 0, {}, 2).to_pylist() == [None, None]
    assert evaluate(f + 1, {"f": pa.array([], pa.float64())}, 0).to_pylist() == []


def test_chunked_and_narrower_columns_are_taken_as_they_are():
    chunked = pa.chunked_array([pa.array([1, 2], pa.int8()), pa.array([3], pa.int8())])
    assert evaluate(i + 1, {"i": chunked}, 3).to_pylist() == [2, 3, 4]
    assert evaluate(i + 1, {"i": pa.chunked_array([], pa.int64())}, 0).to_pylist() == []


def test_leaves_are_found_by_name_reference_or_definition():
    tests = Source("tests", schema={"vdd": float}, event_time="at")
    mean = tests.vdd.mean("1h")
    ref = FeatureRef("Fab", "mean", dtype_of(float), 2)
    assert isinstance(mean, Aggregate)
    assert leaf_key(tests.vdd) == "vdd"
    assert leaf_key(ref) == "Fab@v2:mean"
    assert leaf_key(mean) == leaf_key(tests.vdd.mean("1h")) != leaf_key(tests.vdd.mean("2h"))
    values = {leaf_key(mean): 1.0, leaf_key(ref): 2.0}
    assert evaluate_scalar(mean / ref, values) == 0.5


def test_a_missing_column_is_named():
    with pytest.raises(MissingColumn, match="lacks the column 'f'"):
        evaluate(f + 1, {"g": pa.array([1.0])}, 1)

"""Values in JSON: infinities are text wherever they are, and large finite numbers are numbers."""

import json
import sys
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from skewless.serving.read.encode import values_json

HUGE = sys.float_info.max
FLOATS = st.sampled_from([0.5, -1.5, HUGE, -HUGE, float("inf"), float("-inf"), 5e-324, 0.0])
TEXTS = st.sampled_from(["null", "nullnull", "Infinity", ""])


def shown(value):
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return value


@given(
    rows=st.lists(st.tuples(FLOATS, TEXTS, FLOATS, st.integers(0, 9)), min_size=1, max_size=6),
    known=st.booleans(),
)
def test_what_is_written_is_read_back(rows, known):
    names = ("x", "text", "y", "n")
    plan = SimpleNamespace(names=names, floats=(0, 2) if known else None)
    found = json.loads(values_json(plan, [list(row) for row in rows], present=True))
    columns = zip(*rows, strict=True)
    assert found == {
        name: [shown(value) for value in column]
        for name, column in zip(names, columns, strict=True)
    }

"""A column filled part by part is the parts joined, in the order of the spine."""

import numpy as np
import pyarrow as pa
import pytest

from skewless.engines.local.spine import FilledColumn, SpinePlaces

ORDER = np.array([4, 0, 3, 1])  # row 2 has a null key
PARTS = {
    "numbers": (pa.float64(), [[1.5], [], [None, -0.0], [float("inf")]]),
    "whole numbers": (pa.int64(), [[2**63 - 1, None], [-(2**63), 7]]),
    "narrow numbers": (pa.float32(), [[1.5, None], [2.5, 3.5]]),
    "texts": (pa.string(), [["a", None], [], ["", "b"]]),
    "lists": (pa.list_(pa.int64()), [[[1, 2]], [None, []], [[3]]]),
}


@pytest.mark.parametrize("kind", PARTS)
def test_values_stand_where_their_rows_do(kind):
    dtype, parts = PARTS[kind]
    column = FilledColumn(dtype, SpinePlaces(ORDER, 5))
    for part in parts:
        column.add(pa.array(part, dtype))
    found = column.array()
    first, second, third, fourth = [value for part in parts for value in part]
    assert found.type == dtype
    assert [repr(value) for value in found.to_pylist()] == [
        *map(repr, (second, fourth, None, third, first))
    ]


@pytest.mark.parametrize("kind", PARTS)
def test_a_spine_without_keys_has_nulls(kind):
    dtype, _ = PARTS[kind]
    none = FilledColumn(dtype, SpinePlaces(np.zeros(0, np.int64), 2)).array()
    assert none.to_pylist() == [None, None]
    assert none.type == dtype

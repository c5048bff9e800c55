"""Rows of a batch added in C: the states that Python makes, and the same rows left to the long way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.clock import ALWAYS
from skewless.online import update
from skewless.online.keyed_rows import KeyedRows
from skewless.state import pieces, prepend
from tests.state.states import layout_of, row_set
from tests.state.test_prepend import VIEWS, arrivals

ENTITIES = 3


def inserted(layout, batches, groups, floor):
    """States after batches of rows, and which rows were left to the long way."""
    states, left = [None] * ENTITIES, []
    for batch in batches:
        if batch:
            rows = row_set(layout, batch)
            rows.group = np.array([groups[row.sequence - 1] for row in batch], np.int64)
            keyed = KeyedRows([b"a", b"b", b"c"], rows, np.arange(len(rows)))
            left.append(
                update._insert(
                    layout, keyed, states, {0} if floor else set(), floor=floor, divides=True
                )
            )
    return [pieces.whole(s, {}) if isinstance(s, pieces.Head) else s for s in states], left


@pytest.mark.parametrize("long", [1, 32 << 10])
@pytest.mark.parametrize("kind", VIEWS)
@given(rows=arrivals(), data=st.data())
def test_rows_added_in_c_give_the_states_that_python_makes(kind, long, rows, data):
    if prepend._in_c is None:
        pytest.skip("the module in C was not built")
    layout = layout_of(VIEWS[kind])
    groups = data.draw(st.lists(st.integers(0, ENTITIES - 1), min_size=16, max_size=16))
    cut = data.draw(st.integers(0, len(rows)))
    floor = data.draw(st.sampled_from([ALWAYS, 0, 7]))
    batches = [rows[:cut], rows[cut:]]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(pieces, "LONG", long)
        in_c = inserted(layout, batches, groups, floor)
        monkeypatch.setattr(prepend, "_in_c", None)
        assert in_c == inserted(layout, batches, groups, floor)

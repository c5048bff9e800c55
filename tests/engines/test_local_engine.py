"""The local engine against the oracle: the same values, to the last bit."""

import struct

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from skewless.definitions.repo import Definitions
from skewless.engines.local import LocalEngine
from skewless.engines.reference import ReferenceEngine
from skewless.plan.apply.diff import diff
from skewless.plan.apply.registry_state import RegistryState
from skewless.plan.retrieval import plan_retrieval
from skewless.plan.selection import select
from skewless.testing.history import MemoryHistory

from . import cases


def state_of(*definitions):
    plan = diff(RegistryState(), Definitions.of(*definitions))
    return RegistryState(1, tuple(plan.writes))


def run_local(view, rows, spine, as_of, *, key="key", memory=1 << 30):
    selection = select(state_of(view), [view])
    plan = plan_retrieval(selection, timestamp="t", as_of=as_of)
    table = pa.table({key: pa.array([row[key] for row in spine], pa.string())})
    times = np.array([row["t"] for row in spine], np.int64)
    history = MemoryHistory(view.source, rows)
    local = LocalEngine(memory=memory)
    return local.retrieve(plan, table, times, {view.source.name: history}).columns


def bits(value):
    if isinstance(value, float):
        return struct.pack("<d", value)
    if isinstance(value, dict):
        return bits(list(value.items()))
    return [bits(item) for item in value] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("as_of", ["known", "event_time"])
@given(data=st.data())
def test_local_engine_gives_the_bits_of_the_reference(as_of, data):
    source = data.draw(cases.sources())
    view = data.draw(cases.views(source))
    rows = data.draw(cases.histories(source))
    spine = data.draw(cases.spines())
    expected = ReferenceEngine().historical([view], {"rows": rows}, spine, "t", as_of)
    memory = data.draw(st.sampled_from([1 << 30, 1 << 30, 0, 500]))
    actual = run_local(view, rows, spine, as_of, memory=memory)
    for name, expression in view.expressions.items():
        note(f"{name} = {expression!r}")
        found = actual[name].to_pylist()
        assert [bits(value) for value in found] == [bits(row[name]) for row in expected]

"""What an aggregation costs, counted and not timed: no value may take work that others do not.

Python's instructions are counted, and the rows that kernels go over, for some rows and for four
times as many: the first must not grow with rows or moments, the second only in proportion.
"""

import sys

import numpy as np
import pyarrow as pa
import pytest

from skewless.aggregations import AGGREGATIONS
from skewless.aggregations.columns import Coded
from skewless.aggregations.kernels import Queries, dispatch, implementation
from skewless.aggregations.spans import RowTimes
from skewless.aggregations.windows import LastN, Lifetime, Session, Sliding, Tumbling
from skewless.engines.local.window_kernels import WindowKernels
from skewless.expressions.columnar import compute
from skewless.plan.table_read import TableRead
from skewless.state import blob
from skewless.state.layout import StateLayout, expression_key
from skewless.state.packed_rows import RowSet
from skewless.state.update import update_states
from tests.laws.grid import COLUMNS, KEY, made, source, view_of

pytestmark = pytest.mark.skipif(
    implementation == "numpy", reason="without the modules in C, rows are gone over in Python"
)
WINDOWS = {
    "sliding": Sliding(width=1_000),
    "resolution": Sliding(width=1_000, resolution=100),
    "last n": LastN(n=50),
    "tumbling": Tumbling(width=1_000),
    "session": Session(gap=20),
    "lifetime": Lifetime(),
}
STEP = 10  # between events
A_VALUE = {"beta": 150, "corr": 150, "cov": 150}
"""Python's instructions that each value of a training set may take, where it may take any."""
A_ROW = {"time_in": 12, "time_mean": 12}
"""Those that each row of an online read may take: of sessions, whose end is looked for."""
EACH_MOMENT_ANEW = sorted(name for name, kind in AGGREGATIONS.items() if kind.moves)
FEW = 40
"""Sweeps of all rows and moments that a value may take: a histogram has one a bucket."""
ALLOWED = 400
"""Python's instructions by which two runs may differ, for branches that depend on the data."""
SWEEPS = [name for name in dir(dispatch.chosen) if name.startswith("sweep_")]
OF = source()
WORDS = pa.array(["a", "b", "c", "d"])


def cases(name, *columns, by=False):
    """An aggregation over every window, of some columns."""
    found = [
        made(kind, COLUMNS[column](OF), window, OF, by=OF.word if by else None)
        for kind in AGGREGATIONS[name].examples()
        for column in columns
        for window in WINDOWS.values()
    ]
    return [aggregate for aggregate in found if aggregate is not None]


def columns_of(rows):
    """Columns of rows: numbers that repeat now and then, and words."""
    random = np.random.default_rng(1)
    numbers = random.integers(0, 60, rows)
    found = {
        OF.x: pa.array(numbers / 8),
        OF.n: pa.array(numbers),
        OF.word: WORDS.take(pa.array(numbers % 4)),
    }
    pair = COLUMNS["x and n"](OF)
    found[pair] = compute(pair, {column.name: values for column, values in found.items()})
    return {expression_key(column): values for column, values in found.items()}


def trained(aggregate, rows, moments):
    """What computes the values of a training set of one entity."""
    event = np.arange(rows, dtype=np.int64) * STEP
    asked = np.linspace(event[-1] // 2, event[-1], moments).astype(np.int64)
    spans = aggregate.window.spans(RowTimes(event, None, np.array([0, rows])))
    queries = Queries(asked, np.array([0, moments]))
    columns = (columns_of(rows), Coded())
    kernels = WindowKernels(aggregate.window, spans, queries, event, columns, exclusive=0)
    return lambda: kernels.run([aggregate])


def read(aggregate, rows, entities=1):
    """What reads the value of an entity from its state; asked for so many times at once."""
    event = np.arange(rows, dtype=np.int64) * STEP
    layout = StateLayout.of(KEY, OF, [view := view_of([aggregate], OF)])
    columns = columns_of(rows)
    slots = [columns[slot.key] for slot in layout.slots]
    order = event, event, np.arange(rows) + 1
    packed = RowSet.build(layout.slots, slots, order, np.zeros(rows, np.int64))
    t = int(event[-1]) + 1
    (state,) = update_states(layout, [None], packed.sorted(), sequence=rows, floor=t - 1)
    part = TableRead(layout, [(view, 1, "f0")])
    return lambda: part.answers([state] * entities, t, t)


def instructions(run):
    """How many instructions of Python a run takes, once all that is kept is there."""
    run()
    count = 0

    def trace(frame, event, _):
        nonlocal count
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
    return count


def visited(run, monkeypatch):
    """How many rows and moments the kernels go over."""
    counts = []

    def counted(name, kernel):
        def call(*given, **more):
            found = kernel(*given, **more)
            if name == "gather_active":
                counts.append(len(found))
            elif name == "decayed_means":
                low, high, _ = given[1]
                counts.append(int((high - low).sum()))
            else:
                counts.append(len(given[0].spans.enter) + len(given[0].queries.time))
            return found

        return call

    with monkeypatch.context() as patched:
        for name in (*SWEEPS, "gather_active", "decayed_means"):
            patched.setattr(dispatch.chosen, name, counted(name, getattr(dispatch.chosen, name)))
        run()
    return sum(counts)


by_name = pytest.mark.parametrize("name", sorted(AGGREGATIONS))


@by_name
def test_training_sets_take_no_python_by_row_and_no_row_by_moment(name, monkeypatch):
    for aggregate in cases(name, "x", "n", "word", "x and n", "rows"):
        few = instructions(trained(aggregate, 400, 30))
        assert instructions(trained(aggregate, 1600, 30)) <= few + ALLOWED, aggregate
        more = ALLOWED + (120 - 30) * A_VALUE.get(name, 0)
        assert instructions(trained(aggregate, 400, 120)) <= few + more, aggregate
        rows = visited(trained(aggregate, 1600, 120), monkeypatch)
        assert rows <= FEW * (1600 + 120) or name in EACH_MOMENT_ANEW, aggregate


@by_name
def test_groups_of_a_training_set_cost_rows_and_values_alone(name, monkeypatch):
    for aggregate in cases(name, "x", by=True):
        few = instructions(trained(aggregate, 400, 30))
        assert instructions(trained(aggregate, 1600, 120)) <= few + ALLOWED, aggregate
        rows = visited(trained(aggregate, 1600, 120), monkeypatch)
        assert rows <= FEW * (1600 + len(WORDS) * 120) or name in EACH_MOMENT_ANEW, aggregate


@by_name
def test_an_online_read_takes_no_python_by_row(name):
    for aggregate in cases(name, "x", "n", "rows"):
        few = instructions(read(aggregate, 400))
        more = ALLOWED + (1600 - 400) * A_ROW.get(name, 0)
        assert instructions(read(aggregate, 1600)) <= few + more, aggregate


@by_name
def test_an_online_read_of_texts_takes_as_much_for_each_row(name):
    for aggregate in [*cases(name, "word"), *cases(name, "x", by=True)]:
        few = instructions(read(aggregate, 400))
        assert instructions(read(aggregate, 1600)) <= 5 * few, aggregate


@pytest.mark.parametrize("name", EACH_MOMENT_ANEW)
def test_what_is_excused_does_go_over_rows_by_moment(name, monkeypatch):
    aggregate = cases(name, "x")[0]
    rows = [visited(trained(aggregate, 1600, moments), monkeypatch) for moments in (30, 120, 480)]
    assert rows[2] - rows[1] > 3 * (rows[1] - rows[0])


@by_name
def test_an_online_read_of_groups_or_of_words_takes_no_python_by_row(name):
    found = cases(name, "x", by=True)
    if AGGREGATIONS[name].of_set:
        found += cases(name, "word")
    for aggregate in found:
        few = instructions(read(aggregate, 400))
        more = ALLOWED + (1600 - 400) * A_ROW.get(name, 0)
        assert instructions(read(aggregate, 1600)) <= few + more, aggregate


def test_a_state_that_is_asked_for_often_is_decoded_once(monkeypatch):
    """As that of one user beside a hundred candidates."""
    calls = []
    decode = blob.decode
    monkeypatch.setattr(blob, "decode", lambda *given: calls.append(given) or decode(*given))
    for aggregate in cases("distinct", "word"):
        calls.clear()
        one, *others = read(aggregate, 100, entities=50)()
        assert len(calls) == 1
        assert others == [one] * 49
        one[0].clear()
        assert others[0][0], "answers share no list"

"""Columns of the newest row are read without the other rows; the reference knows no such way."""

import pytest

from skewless.aggregations import AGGREGATIONS
from skewless.aggregations.windows import LastN
from skewless.definitions import Aggregate
from skewless.engines.reference import aggregate_value, visible
from skewless.plan.table_read import TableRead
from skewless.state.layout import StateLayout
from skewless.state.newest_row import is_newest_row
from skewless.state.status import Status
from tests.laws.grid import COLUMNS, HISTORIES, KEY, closed, source, view_of
from tests.laws.test_every_path import bits
from tests.state.states import Row, updated

TTL = 5


def newest(of, *, ttl):
    """The aggregates that are a column of the newest row, of every column."""
    found = [
        Aggregate(kind, column(of), None, LastN(1), source=of.name, ttl=ttl)
        for kind in AGGREGATIONS["latest"].examples()
        for column in COLUMNS.values()
        if column(of) is not None
    ]
    view = view_of(found, of)
    return [aggregate for aggregate in found if is_newest_row(view, aggregate)]


@pytest.mark.parametrize("ttl", [None, TTL])
@pytest.mark.parametrize("history", HISTORIES)
def test_the_newest_row_answers_as_the_reference_at_every_microsecond(history, ttl):
    of, rows = source(closed(history)), HISTORIES[history]
    found = newest(of, ttl=ttl)
    view = view_of(found, of)
    layout = StateLayout.of(KEY, of, [view])
    part = TableRead(layout, [(view, 1, feature) for feature in view.features])
    assert part.newest is not None
    state, expired = None, 0
    for count in range(1, len(rows) + 1):
        row = rows[count - 1]
        state = updated(layout, state, [Row(row.values, row.event, row.known, row.tiebreak)])
        until = rows[count].known if count < len(rows) else 70
        for t in range(row.known, until):
            seen = visible(rows[:count], t)
            expected = [aggregate_value(aggregate, view, seen, t) for aggregate in found]
            quick = part.newest.read(state, t, t)
            many = part.newest.read_many([state, None], t, t)[0]
            for answers in (quick, many, part.answers([state], t, t)[0]):
                if answers is not None:
                    assert bits(answers[0]) == bits([value for value, _ in expected]), t
                    assert answers[1] == [status for _, status in expected], t
            expired += quick is not None and Status.EXPIRED in quick[1]
    assert (expired > 0) == (ttl is not None)


@pytest.mark.parametrize("ttl", [None, TTL])
@pytest.mark.parametrize("history", HISTORIES)
def test_beside_windows_it_answers_as_the_reference_at_every_microsecond(history, ttl):
    of, rows = source(closed(history)), HISTORIES[history]
    columns = newest(of, ttl=ttl)
    if ttl is None:
        columns.append(of.word.latest(default="none"))
    found = [of.count("9us"), *columns, of.x.mean("9us"), of.n.sum(last=3), of.x.max("1s")]
    view = view_of(found, of)
    layout = StateLayout.of(KEY, of, [view])
    part = TableRead(layout, [(view, 1, feature) for feature in view.features])
    assert part.newest is None
    state, at_once = None, 0
    for count, row in enumerate(rows, 1):
        state = updated(layout, state, [Row(row.values, row.event, row.known, row.tiebreak)])
        for t in range(row.known, rows[count].known if count < len(rows) else 70):
            seen = visible(rows[:count], t)
            expected = [aggregate_value(aggregate, view, seen, t) for aggregate in found]
            (answers,) = part.answers([state], t, t)
            assert bits(answers[0]) == bits([value for value, _ in expected]), t
            assert answers[1] == [status for _, status in expected], t
            quick = part._reads.quick(state, t, t)
            at_once += quick is not None and part._at_once(state, t, t, quick) is not None
    assert part._newest_of_left is not None
    assert at_once > len(rows) // 2


@pytest.mark.parametrize("age", [TTL - 1, TTL, TTL + 1])
def test_a_value_is_expired_from_its_ttl_on(age):
    of = source()
    (aggregate,) = [each for each in newest(of, ttl=TTL) if repr(each.column) == "rows.x"][:1]
    view = view_of([aggregate], of)
    layout = StateLayout.of(KEY, of, [view])
    part = TableRead(layout, [(view, 1, "f0")])
    row = HISTORIES["right"][0]
    values = row.values | {"x": 1.0}
    state = updated(layout, None, [Row(values, 10, 10, 1)])
    right = ([1.0], [Status.PRESENT]) if age < TTL else ([None], [Status.EXPIRED])
    assert part.newest.read(state, 10 + age, 10 + age)[:2] == right
    assert part.answers([state], 10 + age, 10 + age)[0][:2] == right

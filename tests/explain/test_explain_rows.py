"""Why each row of an entity did or did not count."""

from skewless.aggregations.windows import session
from skewless.engines.reference import explain_rows
from tests.engines.rows import row, source, view_of

S = source()


def verdicts(aggregate, rows, t, *, k=None, **options):
    view = view_of(aggregate, **options)
    found = explain_rows(aggregate, view, rows, t, t if k is None else k)
    assert [explained for explained, _ in found] == rows
    return [verdict for _, verdict in found]


def test_each_row_that_does_not_count_says_why():
    rows = [
        row(1),
        row(5, None),
        row(-5),
        row(20),
        row(2, known=19),
        row(3, late=True),
        row(4, -1.0),
        row(None),
    ]
    assert verdicts(S.where((S.x > 0) | S.x.is_null()).x.sum("10us"), rows, 9) == [
        "counted",
        "null value",
        "outside the window",
        "future",
        "not yet known",
        "late",
        "filtered",
        "no event time",
    ]


def test_versions_of_one_row_are_told_apart():
    rows = [
        row(1, 1.0, row_id=7, known=1),
        row(1, 2.0, row_id=7, known=2),
        row(1, 2.0, row_id=7, known=3),
        row(1, 3.0, row_id=8, known=1),
        row(1, None, row_id=8, known=4, deleted=True),
        row(1, 5.0, row_id=7, known=9),
    ]
    assert verdicts(S.x.sum("10us"), rows, 5) == [
        "superseded by a correction",
        "counted",
        "duplicate",
        "superseded by a correction",
        "a deletion",
        "not yet known",
    ]


def test_rows_beyond_the_last_n_and_of_older_sessions_are_named():
    rows = [row(1), row(2), row(20)]
    assert verdicts(S.x.sum(last=2), rows, 20) == ["beyond the last N", "counted", "counted"]
    assert verdicts(S.x.sum(session("5us")), rows, 20) == [
        "older session",
        "older session",
        "counted",
    ]


def test_rows_behind_an_expired_value_are_expired():
    assert verdicts(S.x.latest(ttl="5us"), [row(1), row(2)], 9) == ["beyond the last N", "expired"]
    assert verdicts(S.x.sum(session("5us")), [row(1), row(2)], 9) == ["expired", "expired"]


def test_an_offset_leaves_recent_rows_outside_the_window():
    rows = [row(1), row(8)]
    assert verdicts(S.x.sum("10us", offset="5us"), rows, 9) == ["counted", "outside the window"]


def test_a_row_at_the_moment_is_future_where_windows_are_closed_on_the_left():
    left = source(closed="left")
    assert verdicts(left.x.sum("10us"), [row(8), row(9)], 9, of=left) == ["counted", "future"]

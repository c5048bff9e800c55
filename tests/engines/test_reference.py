"""Every rule of what a value is, each by a case small enough to check by hand."""

import math
from datetime import UTC, datetime

import pytest

from skewless.aggregations.windows import lifetime, session, tumbling
from skewless.definitions import Entity, FeatureView
from skewless.engines.reference import ReferenceEngine, feature_value, view_values, visible
from skewless.errors import InputError, NaiveTime
from tests.engines.rows import ask, row, source, value, view_of

S = source()
LEFT = source(closed="left")


# ------------------------------------------------------------------------------------- windows


def test_a_sliding_window_is_open_at_its_start_and_closed_at_its_end():
    rows = [row(10, 1.0), row(11, 2.0), row(20, 4.0), row(21, 8.0)]
    assert value(S.x.sum("10us"), rows, 20) == 6.0


def test_a_window_closed_on_the_left_holds_its_start_and_not_its_end():
    rows = [row(10, 1.0), row(11, 2.0), row(20, 4.0)]
    assert value(LEFT.x.sum("10us"), rows, 20, of=LEFT) == 3.0
    assert value(LEFT.x.sum("10us"), rows, 21, of=LEFT) == 6.0


def test_closed_left_still_knows_what_became_known_at_the_moment():
    assert value(LEFT.x.sum("10us"), [row(5, 1.0, known=9)], 9, of=LEFT) == 1.0
    assert value(LEFT.x.sum("10us"), [row(5, 1.0, known=10)], 9, of=LEFT) == 0.0


def test_last_n_are_the_greatest_rows_up_to_the_moment():
    rows = [row(t, float(t)) for t in (1, 2, 3, 4)]
    assert value(S.x.last_n(9, last=2), rows, 3) == [2.0, 3.0]
    assert value(S.x.last_n(9, last=9), rows, 9) == [1.0, 2.0, 3.0, 4.0]


def test_a_tumbling_window_is_the_newest_complete_interval():
    rows = [row(9, 1.0), row(10, 2.0), row(19, 4.0), row(20, 8.0)]
    assert value(S.x.sum(tumbling("10us")), rows, 19) == 1.0
    assert value(S.x.sum(tumbling("10us")), rows, 20) == 6.0
    assert value(S.x.sum(tumbling("10us")), rows, 29) == 6.0
    assert value(S.x.sum(tumbling("10us")), rows, 30) == 8.0


def test_tumbling_intervals_before_1970_are_aligned_too():
    rows = [row(-11, 1.0), row(-10, 2.0), row(-1, 4.0)]
    assert value(S.x.sum(tumbling("10us")), rows, -1) == 1.0
    assert value(S.x.sum(tumbling("10us")), rows, 0) == 6.0


def test_a_tumbling_interval_closed_on_the_left_is_complete_after_its_end():
    rows = [row(9, 1.0), row(10, 2.0)]
    assert value(LEFT.x.sum(tumbling("10us")), rows, 10, of=LEFT) == 0.0
    assert value(LEFT.x.sum(tumbling("10us")), rows, 11, of=LEFT) == 1.0


def test_a_session_is_the_newest_run_without_a_gap():
    rows = [row(0, 1.0), row(11, 2.0), row(21, 4.0), row(22, 8.0)]
    assert value(S.x.sum(session("10us")), rows, 25) == 14.0
    assert value(S.x.sum(session("10us")), rows, 10) == 1.0


def test_a_session_is_over_when_more_than_a_gap_has_passed():
    rows = [row(0, 1.0), row(5, 2.0)]
    assert ask(S.x.count(session("10us")), rows, 15) == (2, "present")
    assert ask(S.x.count(session("10us")), rows, 16) == (None, "expired")


def test_a_lifetime_is_all_rows_up_to_the_moment():
    rows = [row(-(10**15), 1.0), row(5, 2.0), row(6, 4.0)]
    assert value(S.x.sum(lifetime()), rows, 5) == 3.0


def test_an_offset_asks_the_event_axis_earlier():
    rows = [row(1, 1.0), row(5, 2.0), row(11, 4.0), row(15, 8.0)]
    assert value(S.x.sum("10us", offset="5us"), rows, 15) == 3.0
    assert value(S.x.last_n(1, last=1, offset="5us"), rows, 15) == [2.0]
    assert value(S.x.sum(tumbling("10us"), offset="5us"), rows, 15) == 3.0


def test_an_offset_does_not_shift_knowledge():
    rows = [row(1, 1.0, known=14)]
    assert value(S.x.sum("10us", offset="5us"), rows, 13) == 0.0
    assert value(S.x.sum("10us", offset="5us"), rows, 14) == 1.0


def test_an_offset_shifts_the_age_of_a_session_and_of_a_ttl_but_not_since_last():
    rows = [row(0, 1.0)]
    assert ask(S.x.sum(session("10us"), offset="5us"), rows, 15)[1] == "present"
    assert ask(S.x.sum(session("10us"), offset="5us"), rows, 16)[1] == "expired"
    assert ask(S.x.latest(ttl="10us", offset="5us"), rows, 14)[1] == "present"
    assert ask(S.x.latest(ttl="10us", offset="5us"), rows, 15)[1] == "expired"
    assert value(S.since_last(offset="5us"), rows, 1_000_000) == 1.0


def test_a_resolution_aligns_the_start_down():
    rows = [row(10, 1.0), row(11, 2.0), row(14, 4.0), row(24, 8.0)]
    feature = S.x.sum("10us", resolution="5us")
    assert value(feature, rows, 24) == 14.0
    assert value(feature, rows, 25) == 8.0


def test_latest_expires_when_its_age_reaches_the_ttl():
    rows = [row(0, 1.0)]
    assert ask(S.x.latest(ttl="10us"), rows, 9) == (1.0, "present")
    assert ask(S.x.latest(ttl="10us"), rows, 10) == (None, "expired")
    assert ask(LEFT.x.latest(ttl="10us"), rows, 10, of=LEFT) == (1.0, "present")


# --------------------------------------------------------------------------- knowledge and order


def test_late_row_is_counted_from_when_it_was_known():
    rows = [row(600, 1.0, known=900)]
    assert value(S.x.count("1000us"), rows, 700) == 0
    assert value(S.x.count("1000us"), rows, 899) == 0
    assert value(S.x.count("1000us"), rows, 900) == 1


def test_infinite_knowledge_ignores_when_things_became_known():
    rows = [row(600, 1.0, known=900)]
    assert view_values(view_of(S.x.count("1000us")), rows, {"key": "k"}, 700, None)["f"][0] == 1


def test_order_is_event_time_then_known_time_then_tiebreak():
    rows = [
        row(5, 3.0, known=6, tiebreak=9),
        row(5, 1.0, known=5, tiebreak=99),
        row(5, 4.0, known=7, tiebreak=2),
        row(5, 2.0, known=6, tiebreak=1),
        row(4, 0.0, known=9, tiebreak=100),
    ]
    for given in (rows, rows[::-1]):
        assert value(S.x.last_n(9, last=9), given, 9) == [0.0, 1.0, 2.0, 3.0, 4.0]
        assert value(S.x.latest(), given, 9) == 4.0
        assert value(S.x.first(lifetime()), given, 9) == 0.0


def test_a_row_beyond_the_lateness_counts_nowhere_and_corrects_nothing():
    rows = [row(1, 1.0, row_id=1), row(2, 9.0, row_id=1, late=True), row(3, 9.0, late=True)]
    assert value(S.x.sum("10us"), rows, 9) == 1.0
    assert ask(S.x.sum("10us"), rows[1:], 9) == (0.0, "unknown")


def test_a_row_without_event_time_or_join_key_never_counts():
    rows = [row(None, 1.0), row(1, 2.0, key=None), row(1, 4.0)]
    assert value(S.x.sum("10us"), rows, 9) == 4.0
    assert ask(S.x.sum("10us"), rows, 9, key=None) == (0.0, "unknown")


# ------------------------------------------------------------------------------------ corrections


def test_a_correction_replaces_its_row_from_its_own_known_time_on():
    rows = [row(1, 1.0, known=1, row_id=7), row(1, 5.0, known=6, row_id=7)]
    assert [value(S.x.sum("10us"), rows, t) for t in (5, 6)] == [1.0, 5.0]
    assert value(S.x.count("10us"), rows, 6) == 1


def test_only_the_last_version_counts_when_knowledge_is_infinite():
    rows = [row(1, 1.0, known=1, row_id=7), row(1, 5.0, known=600, row_id=7)]
    assert feature_value(view_of(S.x.sum("10us")), "f", rows, 5, None)[0] == 5.0


def test_a_correction_may_move_a_row_in_time_and_to_another_entity():
    rows = [
        row(1, 1.0, known=1, row_id=7),
        row(4, 2.0, known=5, row_id=7),
        row(4, 3.0, known=8, row_id=7, key="other"),
    ]
    assert [value(S.x.last_n(5, last=5), rows, t) for t in (4, 5, 8)] == [[1.0], [2.0], []]
    assert value(S.x.last_n(5, last=5), rows, 8, key="other") == [3.0]


def test_an_identical_redelivery_changes_nothing():
    rows = [row(1, 1.0, known=2, row_id=7), row(1, 1.0, known=6, row_id=7, tiebreak=9)]
    assert [value(S.x.sum("10us"), rows, t) for t in (1, 2, 6)] == [0.0, 1.0, 1.0]
    assert [r.known for r in visible(rows, 9)] == [2]


def test_a_redelivery_between_versions_is_a_correction_back():
    rows = [row(1, x, known=k, row_id=7) for x, k in ((1.0, 1), (2.0, 2), (1.0, 3), (1.0, 4))]
    assert [value(S.x.sum("10us"), rows, t) for t in (1, 2, 3, 4)] == [1.0, 2.0, 1.0, 1.0]


def test_a_deletion_leaves_no_row_until_the_id_returns():
    rows = [
        row(1, 1.0, known=1, row_id=7),
        row(1, None, known=3, row_id=7, deleted=True),
        row(1, 1.0, known=5, row_id=7),
    ]
    assert [value(S.x.count("10us"), rows, t) for t in (2, 3, 5)] == [1, 0, 1]
    assert ask(S.x.count("10us"), rows, 3) == (0, "unknown")


def test_of_versions_known_at_one_moment_the_greatest_row_wins():
    rows = [row(2, 2.0, known=5, row_id=7), row(1, 1.0, known=5, row_id=7)]
    assert value(S.x.last_n(9, last=9), rows, 9) == [2.0]


def test_rows_of_different_ids_do_not_correct_each_other():
    rows = [row(1, 1.0, row_id=7), row(1, 1.0, row_id=8), row(1, 1.0)]
    assert value(S.x.count("10us"), rows, 5) == 3


def test_a_superseded_row_gives_way_to_an_older_one_in_last_n():
    rows = [row(1, 1.0), row(2, 2.0, row_id=7), row(3, 3.0, row_id=8),
            row(3, None, known=6, row_id=8, deleted=True)]  # fmt: skip
    assert value(S.x.last_n(9, last=2), rows, 5) == [2.0, 3.0]
    assert value(S.x.last_n(9, last=2), rows, 6) == [1.0, 2.0]


# --------------------------------------------------------------------------------- nulls and empty


def test_latest_and_first_take_the_null_of_their_row_unless_told_to_skip():
    rows = [row(1, None), row(2, 2.0), row(3, None)]
    assert ask(S.x.latest(), rows, 9) == (None, "null")
    assert ask(S.x.first(lifetime()), rows, 9) == (None, "null")
    assert ask(S.x.latest(skip_nulls=True), rows, 9) == (2.0, "present")
    assert ask(S.x.first(lifetime(), skip_nulls=True), rows, 9) == (2.0, "present")


def test_nan_is_null():
    rows = [row(1, math.nan), row(2, 2.0)]
    assert value(S.x.count("10us"), rows, 9) == 1
    assert value(S.x.mean("10us"), rows, 9) == 2.0
    assert value(S.x.first(lifetime()), rows, 9) is None


def test_count_of_rows_counts_nulls_and_of_a_column_does_not():
    rows = [row(1, None), row(2, 2.0)]
    assert value(S.count("10us"), rows, 9) == 2
    assert value(S.x.count("10us"), rows, 9) == 1


def test_last_n_counts_rows_with_nulls_among_its_rows():
    rows = [row(1, 1.0), row(2, None), row(3, 3.0)]
    assert value(S.x.last_n(9, last=2), rows, 9) == [3.0]


@pytest.mark.parametrize(
    ("feature", "expected"),
    [
        (S.count("10us"), 0),
        (S.x.sum("10us"), 0.0),
        (S.n.sum("10us"), 0),
        (S.x.n_unique("10us"), 0),
        (S.x.last_n(3, "10us"), []),
        (S.x.top_k(3, "10us"), []),
        (S.rate("10us"), 0.0),
        (S.x.mean("10us"), None),
        (S.x.min("10us"), None),
        (S.x.latest("10us"), None),
    ],
)
def test_no_rows_give_the_identity_or_null(feature, expected):
    far = [row(-100, 1.0)]
    assert ask(feature, far, 9) == (expected, "empty")
    assert ask(feature, [], 9) == (expected, "unknown")
    assert type(value(feature, far, 9)) is type(expected)


def test_an_entity_is_unknown_until_its_first_row_is_seen():
    rows = [row(5, 1.0, known=7)]
    assert ask(S.x.mean("10us"), rows, 4) == (None, "unknown")
    assert ask(S.x.mean("10us"), rows, 6) == (None, "unknown")
    assert ask(S.x.mean("10us"), rows, 7) == (1.0, "present")
    assert ask(S.x.mean("10us"), rows, 15) == (None, "empty")
    assert ask(S.x.mean("10us"), rows, 9, key="never") == (None, "unknown")


def test_a_default_stands_in_for_null_and_the_status_stays():
    feature = S.x.mean("10us", default=-1)
    assert ask(feature, [], 9) == (-1.0, "unknown")
    assert ask(feature, [row(-100)], 9) == (-1.0, "empty")
    assert ask(S.x.latest(default=-1), [row(1, None)], 9) == (-1.0, "null")
    assert ask(S.x.latest(ttl="3us", default=-1), [row(1)], 9) == (-1.0, "expired")


def test_a_value_that_cannot_be_computed_is_null():
    rows = [row(1, n=2**63 - 1), row(2, n=1)]
    assert ask(S.n.sum("10us"), rows, 9) == (None, "null")
    assert ask(S.x.std("10us", ddof=1), [row(1)], 9) == (None, "null")


# ------------------------------------------------------------------------------- filters, derived


def test_filters_take_rows_where_the_condition_is_true_not_null():
    rows = [row(1, 1.0), row(2, None), row(3, 3.0)]
    assert value(S.where(S.x < 2).count("10us"), rows, 9) == 1
    assert value(S.where(~(S.x < 2)).count("10us"), rows, 9) == 1


def test_the_filters_of_view_and_aggregate_must_both_hold():
    rows = [row(t, float(t)) for t in (1, 2, 3, 4)]
    assert value(S.where(S.x > 1).count("10us"), rows, 9, where=S.x < 4) == 2


def test_last_n_counts_only_rows_that_pass():
    rows = [row(t, float(t)) for t in (1, 2, 3, 4)]
    assert value(S.where(S.x <= 2).x.last_n(9, last=2), rows, 9) == [1.0, 2.0]


def test_a_session_is_made_of_rows_that_pass():
    rows = [row(1, 1.0), row(8, -1.0), row(15, 1.0)]
    assert value(S.count(session("10us")), rows, 15) == 3
    assert value(S.where(S.x > 0).count(session("10us")), rows, 15) == 1


def test_a_filter_may_look_at_the_times():
    rows = [row(1), row(5)]
    cut = datetime(1970, 1, 1, 0, 0, 0, 3, UTC)
    assert value(S.where(S.at > cut).count("10us"), rows, 9) == 1


def test_an_entity_whose_rows_do_not_pass_is_empty_not_unknown():
    assert ask(S.where(S.x > 5).count("10us"), [row(1)], 9) == (0, "empty")


def test_an_aggregate_may_be_over_an_expression():
    rows = [row(1, 2.0, n=3), row(2, None, n=3), row(3, 1.0, n=1)]
    assert value((S.x * S.n).sum("10us"), rows, 9) == 7.0


def test_derived_features_are_computed_from_values_after_their_defaults():
    feature = S.x.max("10us", default=10) - S.x.min("5us", default=1)
    assert ask(feature, [row(1, 4.0), row(2, 6.0)], 3) == (2.0, "present")
    assert ask(feature, [row(1, 4.0), row(2, 6.0)], 8) == (5.0, "present")
    assert ask(feature, [row(-99)], 8) == (9.0, "present")
    assert ask(feature, [], 8) == (9.0, "unknown")


def test_a_derived_feature_without_a_value_is_null():
    feature = S.x.sum("10us") / S.x.count("10us")
    assert ask(feature, [row(1, 4.0)], 3) == (4.0, "present")
    assert ask(feature, [row(-99)], 3) == (None, "null")


# ------------------------------------------------------------------------------------- the spine


def moment(micros):
    return datetime(1970, 1, 1, 0, 0, 0, micros, UTC)


def test_the_spine_comes_back_in_its_order_with_its_duplicates_and_columns():
    view = FeatureView("V", entity=Entity("key", key=str), source=S,
                       features={"n1": S.count("10us"), "x1": S.x.latest()})  # fmt: skip
    spine = [
        {"key": "k", "when": moment(5), "label": 1},
        {"key": "gone", "when": moment(5), "label": 2},
        {"key": "k", "when": moment(1), "label": 3},
        {"key": "k", "when": moment(5), "label": 1},
    ]
    rows = {"rows": [row(1, 1.0), row(4, 2.0)]}
    found = ReferenceEngine().historical([view], rows, spine, "when")
    features = [(2, 2.0), (0, None), (1, 1.0), (2, 2.0)]
    assert found == [
        {**given, "n1": n, "x1": x} for given, (n, x) in zip(spine, features, strict=True)
    ]


def test_a_training_row_sees_what_serving_could_have_seen():
    spine = [{"key": "k", "when": moment(5)}]
    rows = {"rows": [row(1, 1.0, known=9)]}
    view = view_of(S.count("10us"))
    assert ReferenceEngine().historical([view], rows, spine, "when")[0]["f"] == 0
    assert ReferenceEngine().historical([view], rows, spine, "when", "event_time")[0]["f"] == 1


def test_a_spine_without_time_zones_is_refused():
    with pytest.raises(NaiveTime, match="without a time zone"):
        ReferenceEngine().historical([], {}, [{"at": datetime(2024, 1, 1)}], "at")
    with pytest.raises(InputError, match="as_of"):
        ReferenceEngine().historical([], {}, [], "at", as_of="now")

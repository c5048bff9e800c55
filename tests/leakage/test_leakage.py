"""What a leakage receipt finds, in training sets of skewless and in plain frames."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import skewless as sl
from skewless.clock import SettableClock
from skewless.errors import InputError, MissingColumn, NaiveTime
from tests.leakage.loans import STAMP, START, loans_of, rows_of, spine_of, table_of, view_of
from tests.monitoring.shop import store

ROWS = rows_of(800)
CLOCK = SettableClock(int(START.timestamp() * 1e6) + 30 * 86_400_000_000)


@pytest.fixture(scope="module")
def fs(tmp_path_factory):
    view = view_of(loans_of(table_of(ROWS)))
    with store(tmp_path_factory.mktemp("loans"), view, clock=CLOCK) as opened:
        yield opened


def training(fs, as_of="known", spine=None, **options):
    spine = spine_of(ROWS) if spine is None else spine
    return fs.get_historical_features(
        spine, options.pop("features", "Client"), timestamp="at", as_of=as_of, **options
    )


def found(receipt, what):
    return {finding.column: finding.values for finding in receipt.findings if finding.what == what}


def test_what_was_known_at_the_time_leaks_nothing(fs):
    receipt = fs.leakage(training(fs), timestamp="at", label="defaulted")
    assert receipt.leaks is False
    assert receipt.findings == ()
    assert receipt.columns == ("debt_now", "debt_week", "losses", "losses_before")
    assert "No leak found in 4 columns." in str(receipt)


def test_a_key_that_is_bound_is_looked_up_as_any_other(tmp_path):
    view = view_of(loans_of(table_of(ROWS)))
    with store(tmp_path, view, clock=CLOCK) as fs:
        fs.apply(fs.plan(sl.FeatureService("bound", [view.at(client="c1", prefix="c1_")])))
        receipt = fs.leakage(training(fs, features="bound"), timestamp="at", label="defaulted")
    assert receipt.columns == ("c1_debt_now", "c1_debt_week", "c1_losses", "c1_losses_before")
    assert any("recomputed" in note for note in receipt.notes)


def test_values_known_only_later_are_counted(fs):
    made = training(fs, "event_time")
    receipt = fs.leakage(made, timestamp="at", label="defaulted")
    assert receipt.leaks is True
    expected = {name: count for name, count in made.differences().items() if count}
    assert found(receipt, "known only after the label time") == expected
    assert expected["debt_now"] == len(ROWS)


def test_features_that_count_the_label_event_itself_are_named(fs):
    receipt = fs.leakage(training(fs, "event_time"), timestamp="at", label="defaulted")
    assert found(receipt, "the label event itself") == {"losses": len(ROWS)}
    assert any("debt_now, debt_week take 'debt' of the row" in note for note in receipt.notes)


def test_a_source_closed_on_the_left_does_not_count_the_label_event(tmp_path):
    view = view_of(loans_of(table_of(ROWS), closed="left"))
    with store(tmp_path, view, clock=CLOCK) as fs:
        receipt = fs.leakage(training(fs, "event_time"), timestamp="at", label="defaulted")
    assert found(receipt, "the label event itself") == {}


def test_a_filtered_feature_counts_the_label_event_where_it_passes(tmp_path):
    loans = loans_of(table_of(ROWS), known_time=None)
    view = sl.FeatureView(
        "Client",
        entity=sl.Entity("client", client=str),
        source=loans,
        features={"lost": loans.where(loans.lost > 0).count("1d"), "n": loans.count("1d")},
    )
    with store(tmp_path, view, clock=CLOCK) as fs:
        receipt = fs.leakage(training(fs), timestamp="at", label="defaulted")
    losses = sum(row["lost"] for row in ROWS)
    assert found(receipt, "the label event itself") == {"lost": losses}
    assert any(note.startswith("n count the row") for note in receipt.notes)


def test_a_label_that_is_a_column_of_the_source_is_known_by_its_name(fs):
    spine = spine_of(ROWS[:5]).rename_columns(["client", "at", "lost"])
    receipt = fs.leakage(training(fs, "event_time", spine), timestamp="at", label="lost")
    (own,) = [f for f in receipt.findings if f.what == "the label event itself"]
    assert (own.column, own.values, own.detail) == ("losses", 5, "reads 'lost': the label by name")


def test_spine_rows_that_occur_twice_are_counted_twice(fs):
    twice = pa.concat_tables([spine_of(ROWS), spine_of(ROWS)])
    receipt = fs.leakage(training(fs, "event_time", twice), timestamp="at", label="defaulted")
    assert found(receipt, "the label event itself") == {"losses": 2 * len(ROWS)}


@pytest.mark.parametrize("as_of", ["known", "event_time"])
def test_a_sample_is_recomputed_from_the_past_alone_to_the_bit(fs, as_of):
    receipt = fs.leakage(training(fs, as_of), timestamp="at", label=None)
    assert any(
        "100 values of a sample recomputed" in note and "100 are the same to the bit" in note
        for note in receipt.notes
    )


def test_full_names_are_those_of_the_training_set(fs):
    made = training(fs, "event_time", full_names=True)
    receipt = fs.leakage(made, timestamp="at", label="defaulted")
    assert found(receipt, "the label event itself") == {"Client__losses": len(ROWS)}


def test_an_empty_training_set_has_nothing_to_leak(fs):
    receipt = fs.leakage(training(fs, spine=spine_of(ROWS)[:0]), timestamp="at", label="defaulted")
    assert (receipt.rows, receipt.leaks) == (0, False)


# ------------------------------------------------------------------------------ plain frames


def frame(**columns):
    size = 40
    base = {
        "at": pa.array([START] * size, STAMP),
        "y": [False, True] * (size // 2),
        "x": np.random.default_rng(3).normal(size=size),
    }
    return pa.table(base | columns)


def hours(*later):
    stamps = [START.timestamp() + 3600 * hour for hour in later]
    return pa.array([int(1e6 * stamp) for stamp in stamps], STAMP)


def test_every_column_of_times_is_checked_when_none_is_named(fs):
    plain = frame(updated=hours(*([-1] * 30 + [2] * 10)), before=hours(*([-5] * 40)))
    receipt = fs.leakage(plain, timestamp="at", label="y")
    assert found(receipt, "later than the label time") == {"updated": 10}
    assert receipt.as_of == "plain"
    assert receipt.columns == ("x", "updated", "before")


def test_named_time_columns_judge_the_columns_they_belong_to(fs):
    plain = frame(seen=hours(*([-1] * 33 + [1] * 7)), happened=hours(*([-2] * 38 + [3] * 2)))
    receipt = fs.leakage(
        plain, timestamp="at", label="y", known={"x": "seen"}, times={"x": "happened"}
    )
    assert found(receipt, "known only after the label time") == {"x": 7}
    assert found(receipt, "later than the label time") == {"x": 2}
    assert receipt.columns == ("x",)


def test_a_value_of_the_very_moment_that_tells_the_label_is_the_label_event(fs):
    plain = frame(copy=[0.0, 3.0] * 20, happened=hours(*([0] * 40)))
    receipt = fs.leakage(plain, timestamp="at", label="y", times={"copy": "happened"})
    assert found(receipt, "the label event itself") == {"copy": 40}


def test_columns_that_are_the_label_in_disguise_are_flagged(fs):
    plain = frame(copy=[0.0, 3.0] * 20, gone=[None, 1] * 20)
    receipt = fs.leakage(plain, timestamp="at", label="y")
    assert found(receipt, "probably the label") == {"copy": 40, "gone": 40}


def test_without_a_label_only_times_are_checked(fs):
    receipt = fs.leakage(frame(copy=[0.0, 3.0] * 20), timestamp="at")
    assert (receipt.leaks, receipt.label) == (False, None)


def test_a_pandas_frame_with_gaps_is_checked(fs):
    plain = frame(copy=[0.0, 3.0] * 20).to_pandas()
    plain.loc[:9, "copy"] = np.nan
    plain["kind"] = pd.Categorical(["a", "b"] * 20)
    receipt = fs.leakage(plain, timestamp="at", label="y")
    assert found(receipt, "probably the label") == {"copy": 30}


def test_bad_frames_get_errors_that_help(fs):
    with pytest.raises(MissingColumn, match="'yy'"):
        fs.leakage(frame(), timestamp="at", label="yy")
    with pytest.raises(MissingColumn, match="'seen'"):
        fs.leakage(frame(), timestamp="at", label="y", known={"x": "seen"})
    with pytest.raises(InputError):
        fs.leakage(frame(), timestamp="x", label="y")
    naive = frame().set_column(0, "at", pa.array([0] * 40, pa.timestamp("us")))
    with pytest.raises(NaiveTime):
        fs.leakage(naive, timestamp="at", label="y")


def test_a_receipt_is_plain_data_and_a_page(fs):
    receipt = fs.leakage(frame(copy=[0.0, 3.0] * 20), timestamp="at", label="y")
    told = receipt.to_dict()
    assert json.loads(json.dumps(told)) == told
    assert str(receipt).splitlines()[:2] == [
        "Leakage receipt: 40 rows at 'at', label 'y', a plain frame",
        "1 of 2 columns leak",
    ]

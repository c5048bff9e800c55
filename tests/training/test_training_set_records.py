"""Training sets are in the ledger; made again they are the same, or it is said what changed."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import skewless as sl
from skewless.clock import from_micros
from skewless.engines.local import LocalEngine
from skewless.errors import InputError, UnknownName
from skewless.online.log_generations import note_generation
from skewless.plan.results import ID_KEY
from skewless.training import records
from skewless.training.frame_training_set import FrameTrainingSet
from skewless.training.records import record_set
from tests.shop import HOUR, MINUTE, NOON, open_store, pay, payments, random_rows, spend_of

PAYS = payments(row_id="pay_id")
SPEND = spend_of(PAYS)


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[sl.FeatureStore]:
    with open_store(tmp_path / "shop", SPEND, sl.FeatureService("fraud", [SPEND])) as fs:
        fs.push("pays", random_rows(1, 200), backdate=True)
        yield fs


@pytest.fixture
def spine() -> pa.Table:
    times = [from_micros(NOON - (number + 1) * HOUR) for number in range(30)]
    return pa.table({"label": list(range(30)), "card_id": ["c1", "c2", "c3"] * 10, "at": times})


def made(fs: sl.FeatureStore, spine: object, **options: object) -> sl.TrainingSet:
    return fs.get_historical_features(spine, "fraud", timestamp="at", **options)


def test_the_id_is_reproducible_and_says_what_it_is_of(
    fs: sl.FeatureStore, spine: pa.Table
) -> None:
    first = made(fs, spine)
    fs.push("pays", [pay("new", NOON)])
    assert made(fs, spine).id == first.id
    assert made(fs, spine.slice(0, 29)).id != first.id
    assert made(fs, spine.drop_columns("label")).id != first.id
    assert made(fs, spine, as_of="event_time").id != first.id
    assert made(fs, spine, full_names=True).id != first.id
    assert len(first.id) == 35


def test_what_it_was_made_of_is_in_the_ledger(fs: sl.FeatureStore, spine: pa.Table) -> None:
    first = made(fs, spine)
    record, *others = fs.training_sets()
    assert others == []
    assert (record.id, record.service, record.rows) == (first.id, "fraud", 30)
    assert record.features["total_1h"] == "Spend@v1:total_1h"
    assert record.spine_columns == ["label", "card_id", "at"]
    assert record.sources == {"pays": {"log": 200, "generation": 0, "table": None}}
    assert record.views == {"Spend@v1": SPEND.fingerprint}
    assert record.leakage == "not checked"
    fs.leakage(first, timestamp="at", label="label")
    assert fs.training_sets()[0].leakage == "clean"


def test_it_is_made_again_to_the_last_bit(
    fs: sl.FeatureStore, spine: pa.Table, tmp_path: Path
) -> None:
    first = made(fs, spine)
    path = first.to_parquet(tmp_path / "train.parquet")
    assert pq.read_schema(path).metadata[ID_KEY].decode() == first.id
    fs.push("pays", [pay(f"later{n}", NOON + n) for n in range(50)])
    fs.compact()
    for given in (spine, path, first):
        again = fs.rebuild(first.id, given)
        assert again.same, str(again)
        assert again.training.to_arrow().equals(first.to_arrow())


def test_a_file_is_found_again(fs: sl.FeatureStore, spine: pa.Table, tmp_path: Path) -> None:
    pq.write_table(spine, tmp_path / "spine.parquet")
    first = made(fs, tmp_path / "spine.parquet")
    assert fs.rebuild(first.id).same


def test_backdated_rows_are_named_with_the_values_they_change(
    fs: sl.FeatureStore, spine: pa.Table
) -> None:
    first = made(fs, spine)
    row = pay("old", NOON - HOUR - 5 * MINUTE, 1e17, card="c1")
    fs.push("pays", [row], backdate=True)
    again = fs.rebuild(first.id, first)
    assert not again.same
    assert "biggest" in again.changed
    now = again.training.to_dict()
    before = first.to_dict()
    for name in again.changed:
        differ = sum(a != b for a, b in zip(before[name], now[name], strict=True))
        assert again.values[name] == differ > 0
    assert again.reasons == ("pays has 1 rows more; those that were known before count",)
    assert "biggest (Spend@v1:biggest): 1 values" in str(again)


def test_a_source_that_was_removed_meanwhile_is_named_with_no_number_of_rows(
    fs: sl.FeatureStore, spine: pa.Table
) -> None:
    first = made(fs, spine)
    with fs.runtime.journal.transaction() as transaction:
        note_generation(transaction, "pays", 1)  # and a registry restored from before the removal
    fs.runtime.forget_plans()
    for rows in (0, 300):  # fewer than there were, and more
        fs.push("pays", random_rows(2, rows), backdate=True)
        again = fs.rebuild(first.id, first)
        assert not again.same
        assert again.reasons == (
            "pays has another log: it was removed and defined again, or given its rows back",
        )


def test_a_log_that_is_shorter_than_it_was_is_said_to_be(
    fs: sl.FeatureStore, spine: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    longer = {"log": 205, "generation": 0}
    with monkeypatch.context() as patched:
        patched.setattr(records, "_log_reached", lambda *_: longer)
        first = made(fs, spine)
    fs.push("pays", [pay("old", NOON - HOUR - 5 * MINUTE, 1e17, card="c1")], backdate=True)
    assert fs.rebuild(first.id, first).reasons == (
        "pays has 4 rows fewer: its log was restored from an older copy",
    )


def test_another_spine_is_named(fs: sl.FeatureStore, spine: pa.Table) -> None:
    first = made(fs, spine)
    other = spine.set_column(0, "label", pa.array([5] * 30))
    again = fs.rebuild(first.id, other)
    assert again.changed == ("label",)
    assert again.reasons[0] == "the spine is another one: label"


def test_versions_are_those_it_had(fs: sl.FeatureStore, spine: pa.Table) -> None:
    first = made(fs, spine)
    changed = spend_of(PAYS, total_1h=PAYS.amount.sum("2h"))
    fs.apply(
        fs.plan(changed, sl.FeatureService("fraud", [changed]), repin=True), allow_breaking=True
    )
    assert fs.rebuild(first.id, spine).same
    assert made(fs, spine).id != first.id


def test_what_is_not_there_is_said(fs: sl.FeatureStore, spine: pa.Table) -> None:
    first = made(fs, spine)
    with pytest.raises(UnknownName, match="no training set"):
        fs.rebuild("ts_0")
    with pytest.raises(InputError, match="spine of this training set is not kept"):
        fs.rebuild(first.id)
    with pytest.raises(InputError, match="not the spine"):
        fs.rebuild(first.id, spine.drop_columns("at"))


def test_a_frame_of_an_engine_has_no_id_and_is_not_recorded(
    fs: sl.FeatureStore, spine: pa.Table
) -> None:
    plan = made(fs, spine).plan
    frame = FrameTrainingSet(object(), LocalEngine(), plan, lambda: made(fs, spine))
    before = len(fs.training_sets())
    record_set(fs.runtime, frame, features="fraud", spine=spine, full_names=False)
    assert len(fs.training_sets()) == before
    with pytest.raises(InputError, match="have no order"):
        frame.id  # noqa: B018

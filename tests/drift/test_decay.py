"""Labels are joined to the predictions they belong to, and what got worse is told."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, root_mean_squared_error

import skewless as sl
from skewless.clock import from_micros
from skewless.errors import InputError
from skewless.testing.clock import SettableClock
from tests.drift.shop import push_amounts, serve, service, spend_of
from tests.shop import DAY, HOUR, NOON, open_store, payments

WEEK = 7 * DAY


def scores() -> sl.Source:
    schema = {"pay_id": str, "card_id": str, "score": float}
    return sl.Source("scores", schema=schema, event_time="at", row_id="pay_id")


def outcomes(kind: type = bool) -> sl.Source:
    schema = {"pay_id": str, "fraud": kind}
    return sl.Source("outcomes", schema=schema, event_time="at", row_id="pay_id")


def store(folder: Path, clock: SettableClock, label: type = bool) -> sl.FeatureStore:
    view = spend_of(payments())
    return open_store(
        folder,
        view,
        sl.FeatureService("fraud", [view]),
        scores(),
        outcomes(label),
        clock=clock,
        build=True,
    )


def week_of(
    fs: sl.FeatureStore, number: int, noise: float, *, late: int = DAY, count: int = 300
) -> tuple[Any, Any]:
    """Predictions of a week and their labels, which happen a while later."""
    chance = np.random.default_rng(abs(number))
    fraud = chance.random(count) < 0.4
    score = fraud + chance.normal(0, noise, count)
    start = NOON // WEEK * WEEK + number * WEEK
    moments = [start + i * WEEK // count for i in range(count)]
    fs.push(
        "scores",
        [
            {
                "pay_id": f"{number}-{i}",
                "card_id": f"c{i % 50}",
                "score": score[i],
                "at": from_micros(moments[i]),
            }
            for i in range(count)
        ],
        backdate=True,
    )
    fs.push(
        "outcomes",
        [
            {
                "pay_id": f"{number}-{i}",
                "fraud": bool(fraud[i]),
                "at": from_micros(moments[i] + late),
            }
            for i in range(count)
        ],
        backdate=True,
    )
    return fraud, score


def test_the_auc_of_each_week_is_that_of_sklearn_and_a_decay_is_told(tmp_path: Path) -> None:
    clock = SettableClock(NOON + 10 * WEEK)
    with store(tmp_path, clock) as fs:
        made = [week_of(fs, number, noise) for number, noise in enumerate((0.4, 0.4, 3.0))]
        report = fs.decay("fraud", prediction="scores.score", label="outcomes.fraud", within="20d")
        assert report.metric == "AUC"
        for period, (fraud, score) in zip(report.periods, made, strict=True):
            assert period.value == pytest.approx(roc_auc_score(fraud, score))
            assert period.low < period.value < period.high
            assert (period.predictions, period.labelled, period.waiting) == (300, 300, 0)
        assert [period.worse for period in report.periods] == [False, False, True]
        assert not report.ok
        assert "worse" in str(report)
        assert fs.runtime.ledger.get(list(fs.runtime.ledger.records(kinds=["decay"]))[0].id)


def test_labels_that_are_not_known_yet_do_not_count(tmp_path: Path) -> None:
    clock = SettableClock(NOON // WEEK * WEEK + WEEK + HOUR)
    with store(tmp_path, clock) as fs:
        week_of(fs, 0, 0.4, late=HOUR)
        week_of(fs, -6, 0.4, late=30 * DAY)  # too late to be theirs
        old, new = fs.decay(
            "fraud", prediction="scores.score", label="outcomes.fraud", within="20d"
        ).periods
        assert (old.labelled, old.waiting, old.value) == (0, 0, None)
        assert new.labelled + new.waiting == 300
        assert new.labelled > 290
        given = fs.decay(
            "fraud", prediction="scores.score", label="outcomes.fraud", within="20d", otherwise=0
        )
        assert given.periods[0].labelled == 300


def test_numbers_are_judged_by_rmse(tmp_path: Path) -> None:
    clock = SettableClock(NOON + 10 * WEEK)
    with store(tmp_path, clock, float) as fs:
        chance = np.random.default_rng(0)
        truth, guess = chance.normal(size=100), chance.normal(size=100)
        rows = range(100)
        fs.push(
            "scores",
            [
                {"pay_id": f"{i}", "card_id": "c1", "score": guess[i], "at": from_micros(NOON)}
                for i in rows
            ],
            backdate=True,
        )
        fs.push(
            "outcomes",
            [{"pay_id": f"{i}", "fraud": truth[i], "at": from_micros(NOON)} for i in rows],
            backdate=True,
        )
        report = fs.decay("fraud", prediction="scores.score", label="outcomes.fraud")
        assert report.metric == "RMSE"
        assert report.periods[0].value == pytest.approx(root_mean_squared_error(truth, guess))


def test_what_cannot_be_joined_is_refused(tmp_path: Path) -> None:
    with store(tmp_path, SettableClock(NOON)) as fs:
        with pytest.raises(sl.UnknownName, match="'fraude'"):
            fs.decay("fraude", prediction="scores.score", label="outcomes.fraud")
        with pytest.raises(InputError, match="no column of a source"):
            fs.decay("fraud", prediction="scores", label="outcomes.fraud")
        with pytest.raises(sl.UnknownName, match="'card_id'"):
            fs.decay("fraud", prediction="scores.score", label="outcomes.fraud", on=["card_id"])
        assert fs.decay("fraud", prediction="scores.score", label="outcomes.fraud").periods == ()


def test_frames_have_the_columns_of_the_service_and_entities_once(tmp_path: Path) -> None:
    with store(tmp_path, SettableClock(NOON)) as fs:
        push_amounts(fs, [1.0, 2.0, 3.0])
        training = service(fs, 3)
        serve(fs, ["c1", "c2", "c1"])
        reference, current = fs.drift_frames("fraud", training)
        names = ["timestamp", "card_id", "total", "city", "n", "last"]
        assert list(current.columns) == names
        assert set(names) == set(reference.columns)
        assert sorted(current["total"]) == [1.0, 2.0]
        assert len(fs.drift_frames("fraud", training, every_read=True)[1]) == 3
        with pytest.raises(sl.MissingColumn, match="total"):
            fs.drift_frames("fraud", [{"card_id": "c1"}])

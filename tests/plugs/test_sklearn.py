"""The plug of scikit-learn: one pipeline is fitted on history and predicts from the online store."""

import pickle

import numpy as np
import pytest

import skewless as sl
from skewless.clock import from_micros
from skewless.testing.clock import SettableClock
from tests.plugs.real import needs
from tests.shop import CARD, HOUR, NOON, pay, payments, spend_of

needs("sklearn")
pd = needs("pandas", plug="sklearn")

from sklearn.base import clone  # noqa: E402
from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402

from skewless.plugs.sklearn import FeatureReader, to_sklearn  # noqa: E402

FEATURES = ["Spend:total_1h", "Spend:city", "Spend:count_1d", "Spend:mean_3"]


@pytest.fixture
def repo(tmp_path):
    pays = payments(row_id="pay_id")
    spend = spend_of(pays)
    with sl.FeatureStore(tmp_path, clock=SettableClock(NOON + 40 * HOUR)) as fs:
        fs.apply(
            fs.plan(CARD, pays, spend, sl.FeatureService("fraud", [spend.total_1h, spend.count_1d]))
        )
        rows = [pay(f"p{n}", NOON + n * HOUR // 8, float(n), card=f"c{n % 3}") for n in range(40)]
        fs.push("pays", rows, backdate=True)
    return tmp_path


def spine(rows=24):
    return pd.DataFrame(
        [
            {
                "card_id": f"c{n % 4}",
                "asked": n / 2,
                "y": bool(n % 2),
                "at": from_micros(NOON + n * HOUR // 4),
            }
            for n in range(rows)
        ]
    )


def test_a_training_set_as_a_frame_and_a_label(repo):
    with sl.FeatureStore(repo) as fs:
        training = fs.get_historical_features(spine(), FEATURES, timestamp="at")
        x, y = to_sklearn(training, "y")
    assert list(x.columns) == ["total_1h", "city", "count_1d", "mean_3"]
    assert list(y) == [bool(n % 2) for n in range(24)]
    assert x["total_1h"].dtype == x["count_1d"].dtype == np.float64
    assert x["city"].tolist() == training["city"]
    theirs = [np.nan if v is None else v for v in training["mean_3"]]
    np.testing.assert_array_equal(x["mean_3"], theirs)


def test_fitted_on_history_the_pipeline_predicts_online(repo):
    model = make_pipeline(
        FeatureReader(str(repo), "fraud", keep=["asked"]),
        HistGradientBoostingClassifier(min_samples_leaf=2),
    )
    rows = spine()
    model.fit(rows, rows["y"])
    asked = [{"card_id": "c0", "asked": 1.0}, {"card_id": "nobody", "asked": 2.0}]
    shipped = pickle.loads(pickle.dumps(model))
    assert len(shipped.predict(asked)) == 2
    assert list(model[0].get_feature_names_out()) == ["total_1h", "count_1d", "asked"]
    assert clone(model[0]).get_params() == model[0].get_params()


def test_rows_with_a_time_are_read_as_of_then_and_others_as_of_now(repo):
    reader = FeatureReader(str(repo), FEATURES)
    rows = spine()
    with sl.FeatureStore(repo) as fs:
        then = fs.get_historical_features(rows, FEATURES, timestamp="at")
        now = fs.get_online_features(FEATURES, rows[["card_id"]])
    made = reader.fit_transform(rows)
    assert [None if np.isnan(v) else v for v in made["total_1h"]] == then["total_1h"]
    live = reader.transform(rows[["card_id"]])
    assert live["city"].tolist() == now["city"]


def test_rows_without_a_time_are_not_trained_on(repo):
    with pytest.raises(sl.MissingColumn, match="at"):
        FeatureReader(str(repo), "fraud").fit(spine()[["card_id"]])


def test_a_value_that_is_being_rebuilt_is_not_taken_for_a_missing_one(repo, monkeypatch):
    from skewless.plan.results import OnlineResult

    reader = FeatureReader(str(repo), "fraud")
    monkeypatch.setattr(
        OnlineResult, "to_statuses", lambda _: {"total_1h": ["building", "present"]}
    )
    with pytest.raises(sl.StoreUnavailable, match="1 values of 'total_1h' are building"):
        reader.transform([{"card_id": "c1"}, {"card_id": "c2"}])


def test_what_cannot_be_learned_from_is_said(repo):
    with sl.FeatureStore(repo) as fs:
        training = fs.get_historical_features(spine(), ["Spend:words"], timestamp="at")
        with pytest.raises(sl.InputError, match="'words' of type list"):
            to_sklearn(training, "y")
        with pytest.raises(sl.MissingColumn, match="label"):
            to_sklearn(training, "label")
        rows = spine()
        rows["y"] = None
        training = fs.get_historical_features(rows, "fraud", timestamp="at")
        with pytest.raises(sl.InputError, match="24 rows have no label"):
            to_sklearn(training, "y")

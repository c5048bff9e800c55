"""The plug of MLflow against MLflow itself, over a database of its own."""

import warnings

import pytest

import skewless as sl
from tests.plugs.real import needs

mlflow = needs("mlflow")
sklearn = needs("sklearn", plug="mlflow")

from mlflow.models import infer_signature  # noqa: E402
from sklearn.linear_model import LinearRegression  # noqa: E402

from skewless.clock import from_micros  # noqa: E402
from skewless.plugs import mlflow as plug  # noqa: E402
from skewless.plugs.mlflow_source import TrainingSetSource  # noqa: E402
from tests.serving.calling import PATIENCE, serving  # noqa: E402
from tests.shop import CARD, HOUR, NOON, pay, payments, spend_of  # noqa: E402

COLUMNS = ["total_1h", "count_1d", "asked"]


@pytest.fixture(scope="module")
def tracking(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mlflow")
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.create_experiment("fraud", artifact_location=(folder / "artifacts").as_uri())
    mlflow.set_experiment("fraud")
    return folder


@pytest.fixture(scope="module")
def fs(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("repo")
    pays = payments(row_id="pay_id")
    spend = spend_of(pays, total_1h=pays.amount.sum("1h"), count_1d=pays.count("1d"))
    (tmp_path / "repo").mkdir()
    with sl.FeatureStore(tmp_path / "repo") as store:
        store.apply(store.plan(CARD, pays, spend, sl.FeatureService("fraud", [spend])))
        rows = [pay(f"p{n}", NOON + n * HOUR // 8, float(n), card=f"c{n % 3}") for n in range(40)]
        store.push("pays", rows)
        yield store


def spine(rows=20):
    return [
        {
            "card_id": f"c{n % 3}",
            "asked": float(n),
            "y": 3.0 * n,
            "t": from_micros(NOON + n * HOUR // 4),
        }
        for n in range(rows)
    ]


@pytest.fixture(scope="module")
def training(fs):
    return fs.get_historical_features(spine(), "fraud", timestamp="t")


@pytest.fixture(scope="module")
def logged(tracking, fs, training):
    frame = training.to_pandas()
    model = LinearRegression().fit(frame[COLUMNS].fillna(0), frame["y"])
    with mlflow.start_run():
        plug.log_training_set(fs, training)
        return mlflow.sklearn.log_model(
            model, name="model", signature=infer_signature(frame[COLUMNS].fillna(0)),
            registered_model_name="fraud",
        )  # fmt: skip


def test_a_run_is_found_by_the_digest_of_its_training_set(logged, training):
    found = mlflow.search_runs(filter_string=f"dataset.digest = '{plug.digest_of(training)}'")
    assert list(found["run_id"]) == [logged.run_id]
    other = mlflow.search_runs(filter_string="dataset.digest = 'ts-0'")
    assert len(other) == 0


def test_the_source_of_a_logged_dataset_makes_the_training_set_again(logged, training):
    [given] = mlflow.get_run(logged.run_id).inputs.dataset_inputs
    source = mlflow.data.get_source(given.dataset)
    assert isinstance(source, TrainingSetSource)
    again = source.load(spine())
    assert again.same
    assert again.training.id == training.id


def test_from_a_model_to_its_features_and_back(logged, fs, training):
    found = plug.features_of("models:/fraud/1")
    assert found.features == {"total_1h": "Spend@v1:total_1h", "count_1d": "Spend@v1:count_1d"}
    assert (found.service, found.training_sets) == ("fraud", (training.id,))
    assert found.leakage in ("not checked", "clean")
    assert plug.note_model(fs, "models:/fraud/1") == "fraud@1"
    assert fs.lineage("pays.amount", down=4).of_kind("model") == ["fraud@1"]


def test_the_verdict_of_leakage_goes_along(tracking, fs, training):
    fs.leakage(training, timestamp="t", label="y")
    with mlflow.start_run() as run:
        plug.log_training_set(fs, training)
    [said] = plug._artifact(run.info.run_id)
    assert said["leakage"] == "clean"


def test_two_training_sets_of_one_run(tracking, fs, training):
    later = fs.get_historical_features(spine(5), "fraud", timestamp="t")
    with mlflow.start_run() as run:
        for made, context in (
            (training, "training"),
            (later, "evaluation"),
            (training, "training"),
        ):
            plug.log_training_set(fs, made, context=context)
    assert [made["id"] for made in plug._artifact(run.info.run_id)] == [later.id, training.id]


def test_a_model_that_looks_its_features_up(logged, fs, training):
    import pandas as pd

    with mlflow.start_run():
        made = plug.log_lookup_model(logged.model_uri)
    where = {"repo": str(fs.config.folder), "url": ""}
    model = mlflow.pyfunc.load_model(made.model_uri, model_config=where)
    keys = pd.DataFrame({"card_id": ["c0", "c1"], "asked": [1.0, 2.0]})
    vector = fs.get_online_features("fraud", keys.to_dict("records")).to_pandas()
    vector["asked"] = keys["asked"]
    direct = mlflow.pyfunc.load_model(logged.model_uri).predict(
        vector[COLUMNS].astype({"count_1d": "int64"})
    )
    assert list(model.predict(keys)) == list(direct)


def test_a_span_says_what_was_read_and_no_key(tracking, fs):
    plug.get_online_features(fs, "fraud", [{"card_id": "c0"}, {"card_id": "secret-key"}])
    mlflow.flush_trace_async_logging()
    trace = mlflow.get_trace(mlflow.get_last_active_trace_id())
    [span] = trace.data.spans
    assert span.name == "skewless.features"
    assert span.attributes["features"] == "fraud"
    assert sum(span.attributes["statuses"].values()) == 4
    assert "secret-key" not in str(trace.to_dict())


def test_a_span_has_the_id_under_which_the_server_answered(tracking, fs, tmp_path):
    repo = fs.config.folder
    with serving(repo, tmp_path) as running, sl.Client(running.url, timeout=PATIENCE) as client:
        found = plug.get_online_features(client, "fraud", [{"card_id": "c0"}])
        assert found["count_1d"] == fs.get_online_features("fraud", [{"card_id": "c0"}])["count_1d"]
    mlflow.flush_trace_async_logging()
    [span] = mlflow.get_trace(mlflow.get_last_active_trace_id()).data.spans
    assert span.attributes["request_id"] == found.request_id != ""


def test_what_is_not_there_is_said(tracking, fs, tmp_path, training):
    (tmp_path / "other").mkdir()
    with sl.FeatureStore(tmp_path / "other") as other, mlflow.start_run():
        with pytest.raises(sl.UnknownName, match="no training set"):
            plug.log_training_set(other, training)
    with mlflow.start_run():
        bare = mlflow.sklearn.log_model(LinearRegression().fit([[1.0]], [1.0]), name="bare")
    with pytest.raises(sl.InputError, match="log_training_set"):
        plug.features_of(bare.model_uri)


def test_mlflow_finds_the_source_without_an_import():
    from mlflow.data.dataset_source_registry import _dataset_source_registry

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kinds = [each._get_source_type() for each in _dataset_source_registry.sources]
    assert kinds.count("skewless") == 1

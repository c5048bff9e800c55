"""MLflow: training sets as inputs of runs, and from a model back to its features.

    training = fs.get_historical_features(spine, "fraud", timestamp="at")
    with mlflow.start_run():
        log_training_set(fs, training)
        logged = mlflow.sklearn.log_model(model.fit(training.to_pandas()[columns], y), name="model")
    features_of(logged.model_uri).features  # {'total': 'Spend@v1:total', ...}

The runs that used it are those that ``mlflow.search_runs(filter_string=f"dataset.digest =
'{digest_of(training)}'")`` finds.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
from mlflow.data.dataset import Dataset
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PythonModel
from mlflow.types import Schema

from skewless.client.client import Client
from skewless.errors import InputError, UnknownName
from skewless.plan.results import OnlineResult, TrainingSet
from skewless.plugs.mlflow_source import TrainingSetSource
from skewless.store import FeatureStore

ARTIFACT = "skewless.json"
"""Name of the artifact of a run that says what its training sets were made of."""
_LONGEST_DIGEST = 36  # of MLflow's database; the whole id stands in the source and the artifact
_SPAN = "skewless.features"


class TrainingSetDataset(Dataset):  # type: ignore[misc]
    """A training set as an MLflow dataset.

    Args:
        training: the training set.
        source: where it comes from.
        name: under which MLflow lists it.
    """

    def __init__(self, training: TrainingSet, source: TrainingSetSource, name: str) -> None:
        self._training = training
        super().__init__(source=source, name=name)

    def _compute_digest(self) -> str:
        return digest_of(self._training)

    def to_dict(self) -> dict[str, str]:
        """Return what MLflow keeps of it."""
        more: dict[str, str] = super().to_dict() | {"profile": json.dumps(self.profile)}
        if self.schema is not None:
            more["schema"] = json.dumps({"mlflow_colspec": self.schema.to_dict()})
        return more

    @property
    def profile(self) -> dict[str, Any]:
        """Rows and features."""
        return {"num_rows": len(self._training), "features": len(self._training.features)}

    @property
    def schema(self) -> Schema | None:
        """The columns with MLflow's types; None where it has no type for one of them."""
        try:
            return mlflow.models.infer_signature(self._training.head(1).to_pandas()).inputs
        except MlflowException:
            return None


def digest_of(training: TrainingSet) -> str:
    """Return what `mlflow.search_runs` finds the runs by that used a training set."""
    return training.id[:_LONGEST_DIGEST]


def log_training_set(
    fs: FeatureStore, training: TrainingSet, *, context: str = "training", name: str | None = None
) -> TrainingSetDataset:
    """Log a training set as an input of the active run, with what it was made of.

    The run gets the dataset (its digest, columns and source) and an artifact ``skewless.json``:
    the features with their versions, the revision, how far history went, the verdict of
    `FeatureStore.leakage` where there was one. The rows stay where they are.

    Args:
        fs: where it was made.
        training: of `FeatureStore.get_historical_features`.
        context: what the run uses it for: ``training``, ``evaluation``.
        name: under which MLflow lists it; by default its feature service, else its id.

    Returns:
        The dataset, for MLflow's other verbs.

    Raises:
        UnknownName: the ledger of ``fs`` does not know the training set.
    """
    known = {record.id: record for record in fs.training_sets()}
    if training.id not in known:
        raise UnknownName.of("training set", training.id, known, where="the ledger")
    record = known[training.id]
    about = json.loads(json.dumps(record.to_dict(), default=str))
    source = TrainingSetSource(about, str(fs.config.folder))
    dataset = TrainingSetDataset(training, source, name or record.service or training.id)
    mlflow.log_input(dataset, context=context)
    before = _artifact(mlflow.active_run().info.run_id)
    sets = [made for made in before if made["id"] != record.id] + [about]
    mlflow.log_dict({"training_sets": sets}, ARTIFACT)
    return dataset


@dataclass(frozen=True)
class ModelFeatures:
    """What a model was trained on.

    Attributes:
        run: of MLflow.
        training_sets: their ids.
        service: the feature service; empty where features were named otherwise.
        features: column to feature, version included, of all training sets.
        leakage: the worst verdict: ``leaks``, ``not checked`` or ``clean``.
    """

    run: str
    training_sets: tuple[str, ...]
    service: str
    features: Mapping[str, str]
    leakage: str


def features_of(model_uri: str) -> ModelFeatures:
    """Return what the model behind ``models:/...`` or ``runs:/...`` was trained on.

    Raises:
        InputError: no training set was logged with its run.
    """
    run = mlflow.models.get_model_info(model_uri).run_id
    sets = _artifact(run) if run else []
    if not sets:
        raise InputError(
            "a model whose run says nothing of its features",
            got=model_uri,
            expected=f"a run with the artifact {ARTIFACT}",
            hint="Call log_training_set(fs, training) in the run that trains the model.",
        )
    features = {column: ref for made in sets for column, ref in made["features"].items()}
    verdicts = {made["leakage"] for made in sets}
    worst = next(each for each in ("leaks", "not checked", "clean") if each in verdicts)
    ids = tuple(made["id"] for made in sets)
    return ModelFeatures(run, ids, sets[-1]["service"], features, worst)


def note_model(fs: FeatureStore, model_uri: str, name: str | None = None) -> str:
    """Note in the ledger what a model of MLflow was trained on, so that lineage reaches it.

    Args:
        fs: of the repo.
        model_uri: ``models:/fraud/3`` or ``runs:/.../model``.
        name: under which `FeatureStore.lineage` knows it; by default made of the URI: ``fraud@3``.

    Returns:
        That name.
    """
    found = features_of(model_uri)
    named = name or _name_of(model_uri)
    fs.log_model(named, list(found.training_sets), uri=model_uri, run=found.run)
    return named


class FeatureLookup(PythonModel):  # type: ignore[misc]
    """A model that is given keys and request values, and looks its features up itself.

    Where it reads is said at run time, since a repo or a server is elsewhere in production:
    ``mlflow.pyfunc.load_model(uri, model_config={"url": "http://features:6566"})``, or ``repo``.

    Args:
        features: references, versions included.
        columns: what the model was trained on, in order.
    """

    def __init__(self, features: Sequence[str], columns: Sequence[str]) -> None:
        self.features, self.columns = list(features), list(columns)

    def load_context(self, context: Any) -> None:
        """Load the model; open the repo, or connect to the server."""
        self.model = mlflow.pyfunc.load_model(context.artifacts["model"])
        where = context.model_config or {}
        if bool(where.get("url")) == bool(where.get("repo")):
            raise InputError(
                "a model without a place to read features from",
                got=", ".join(f"{name}={value!r}" for name, value in where.items()) or "nothing",
                expected="model_config with either url= of a server or repo= of a folder",
            )
        self.store: Any = Client(where["url"]) if where.get("url") else FeatureStore(where["repo"])

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:  # noqa: ARG002
        """Return the model's predictions for a frame of keys and request values."""
        keys = model_input.to_dict("records")
        found = get_online_features(self.store, self.features, keys)
        return self.model.predict(_frame(found, model_input)[self.columns])


def log_lookup_model(model_uri: str, *, name: str = "with_features", **options: Any) -> Any:
    """Log, in the active run, a model that looks its features up; see `FeatureLookup`.

    Args:
        model_uri: a model that `features_of` knows; its signature names the columns.
        name: of the new model.
        options: of `mlflow.pyfunc.log_model`.

    Raises:
        InputError: the model has no signature, so nobody knows the order of its columns.
    """
    found, info = features_of(model_uri), mlflow.models.get_model_info(model_uri)
    if info.signature is None:
        raise InputError(
            "a model without a signature", got=model_uri,
            hint="Log it with signature=mlflow.models.infer_signature(X), or input_example=X.",
        )  # fmt: skip
    columns = info.signature.inputs.input_names()
    wanted = [reference for column, reference in found.features.items() if column in columns]
    local = mlflow.artifacts.download_artifacts(model_uri)
    model = FeatureLookup(wanted, columns)
    return mlflow.pyfunc.log_model(
        name=name, python_model=model, artifacts={"model": local},
        model_config={"url": "", "repo": ""}, **options,
    )  # fmt: skip


def get_online_features(store: Any, features: Any, entities: Any) -> Any:
    """Read feature vectors under a span ``skewless.features`` of MLflow's trace.

    The span holds the features, how many entities were asked for, how many values had which
    status, and the request id of a server: never a key.

    Args:
        store: a `FeatureStore` or a `Client`.
        features: see `FeatureStore.get_online_features`.
        entities: likewise.
    """
    with mlflow.start_span(_SPAN, span_type="RETRIEVER") as span:
        found = store.get_online_features(features, entities)
        statuses: dict[str, int] = {}
        for column in found.to_statuses().values():
            for status in column:
                statuses[status] = statuses.get(status, 0) + 1
        asked = features if isinstance(features, str) else getattr(features, "name", None)
        about = {"features": asked or [str(each) for each in features], "statuses": statuses}
        if found.request_id:
            about["request_id"] = found.request_id
        span.set_attributes(about)
    return found


def _frame(found: OnlineResult, given: Any) -> Any:
    """Return features beside what was given, one row for each entity."""
    made = found.to_pandas()
    for column in given.columns:
        if column not in made:
            made[column] = given[column].to_numpy()
    return made


def _artifact(run: str) -> list[dict[str, Any]]:
    """Return what a run says of its training sets; nothing where it says nothing."""
    with tempfile.TemporaryDirectory() as folder:
        names = [each.path for each in mlflow.MlflowClient().list_artifacts(run)]
        if ARTIFACT not in names:
            return []
        path = mlflow.artifacts.download_artifacts(
            run_id=run, artifact_path=ARTIFACT, dst_path=folder
        )
        sets: list[dict[str, Any]] = json.loads(Path(path).read_text("utf-8"))["training_sets"]
        return sets


def _name_of(model_uri: str) -> str:
    """Return ``fraud@3`` for ``models:/fraud/3``; other URIs as they are."""
    name, _, version = model_uri.removeprefix("models:/").partition("/")
    return f"{name}@{version}" if model_uri.startswith("models:/") and version else model_uri

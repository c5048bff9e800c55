"""Where a training set comes from, as MLflow keeps it: what its entry point names.

It stands alone, since MLflow loads it while it is itself being imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlflow.data.dataset_source import DatasetSource

from skewless.plan.results import TrainingSet
from skewless.store import FeatureStore


class TrainingSetSource(DatasetSource):  # type: ignore[misc]
    """Where a training set comes from, as MLflow keeps it.

    Args:
        about: the record of the training set, see `skewless.training.records.TrainingSetRecord`.
        repo: the folder of the repo it was made in.
    """

    def __init__(self, about: Mapping[str, Any], repo: str) -> None:
        self.about, self.repo = dict(about), repo

    @staticmethod
    def _get_source_type() -> str:
        return "skewless"

    def load(self, spine: Any = None) -> Any:
        """Make the training set again; see `FeatureStore.rebuild`.

        Args:
            spine: its rows; None: the file that it was made from.

        Returns:
            A `skewless.training.records.Rebuilt`: the rows, and whether each bit is what it was.
        """
        with FeatureStore(self.repo) as fs:
            return fs.rebuild(self.about["id"], spine)

    @staticmethod
    def _can_resolve(raw_source: Any) -> bool:
        return isinstance(raw_source, TrainingSet)

    @classmethod
    def _resolve(cls, raw_source: Any) -> TrainingSetSource:
        outputs = raw_source.plan.selection.outputs
        features = {output.name: output.reference for output in outputs}
        return cls({"id": raw_source.id, "features": features}, ".")

    def to_dict(self) -> dict[str, Any]:
        """Return what it is made of as plain data."""
        return {"repo": self.repo, "training_set": self.about}

    @classmethod
    def from_dict(cls, source_dict: dict[Any, Any]) -> TrainingSetSource:
        """Return the source of what `to_dict` gave."""
        return cls(source_dict["training_set"], source_dict["repo"])

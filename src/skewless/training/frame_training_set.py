"""A training set that stays where an engine made it: a frame of the engine's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skewless.engines.base import Engine
from skewless.forks import cached_property
from skewless.plan.results import FIRST_ROWS, TrainingSet
from skewless.plan.retrieval import RetrievalPlan

if TYPE_CHECKING:
    import pyarrow as pa


class FrameTrainingSet(TrainingSet):
    """A training set as a frame of its engine; nothing is computed until the frame is used.

    Its rows are in whatever order the engine has them, with the spine's columns beside them.

    Args:
        native: the frame.
        engine: that made it.
        plan, compare, tables: as of `TrainingSet`.
        how: what the engine costs, see `Engine.explain`.

    Attributes:
        native: the frame: for Spark a ``DataFrame``.
    """

    def __init__(
        self,
        native: Any,
        engine: Engine,
        plan: RetrievalPlan,
        compare: Callable[[], TrainingSet],
        tables: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        how: Sequence[str] = (),
    ) -> None:
        self.native = native
        self._engine = engine
        super().__init__(None, plan, (), compare, tables, engine=how)

    @cached_property
    def _collected(self) -> pa.Table:
        return self._engine.collect_frame(self.native)

    @cached_property
    def digests(self) -> dict[str, str]:
        """Not known of a frame, whose rows have no order; so it has no `id` either.

        Raises:
            InputError: always.
        """
        raise self._engine.unordered()

    def to_arrow(self) -> pa.Table:
        """Return all rows as an Arrow table: they are computed and brought to this process."""
        return self._collected

    def to_parquet(self, path: str | Path) -> Path:
        """Have the engine write the training set to a folder of Parquet files; return its path."""
        self._engine.write_frame(self.native, str(path))
        return Path(path)

    def head(self, rows: int = FIRST_ROWS) -> FrameTrainingSet:
        """Return some rows alone; which ones is for the engine to say."""
        some = self._engine.first_of(self.native, rows)
        return FrameTrainingSet(
            some, self._engine, self.plan, self._compare, self.tables, how=self.engine
        )

    def differences(self) -> dict[str, int]:
        """Not known of a frame, whose rows have no order to compare them by.

        Raises:
            InputError: always.
        """
        raise self._engine.unordered()

    def explain(self) -> str:
        """Return how it is made, and what the engine costs."""
        return "\n".join([self.plan.explain(), *self.engine])

    def __len__(self) -> int:
        return int(self.to_arrow().num_rows)

    def __repr__(self) -> str:
        count = len(self.features)
        return (
            f"FrameTrainingSet({count} features as {self.plan.as_of}, engine {self._engine.kind})"
        )

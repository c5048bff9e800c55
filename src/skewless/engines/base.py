"""What every engine promises: a plan and a spine in, features out, the same bits whoever computes.

    engine = LocalEngine(memory=1 << 30)
    found = engine.retrieve(plan, spine, times, histories)
    found.columns["vdd_mean"]

**Every engine guarantees**

- The values of design and docs (docs/semantics.md), to the last bit, whatever the number of
  workers, the order of rows and the size of batches; `skewless.testing.engine` holds it to that.
- As many values as the spine has rows, in the order of the spine.
- Online values stay as they were: an engine reads.

**No engine guarantees** that notes come along (`Retrieved.hidden`, `Retrieved.rows_dropped`): to
count them costs a pass that a distributed engine does not make.

An engine that spreads the work over processes is a `partitioned.PartitionedEngine`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skewless.engines.history import SourceHistory
from skewless.errors import InputError
from skewless.plan.retrieval import RetrievalPlan

Ints = npt.NDArray[np.int64]
Progress = Callable[[str, float], None]


@dataclass(frozen=True, eq=False)
class Retrieved:
    """What an engine made of a plan.

    Attributes:
        columns: by output name, as long as the spine.
        rows_dropped: rows of each source that were left out for lack of an event time.
        hidden: by step, how many spine rows found nothing because what there is was not known yet.
    """

    columns: dict[str, pa.Array]
    rows_dropped: dict[str, int] = field(default_factory=dict)
    hidden: dict[str, int] = field(default_factory=dict)


class Engine(ABC):
    """Computes training sets.

    Attributes:
        kind: as ``[engine]`` of ``skewless.toml`` calls it.
    """

    kind: ClassVar[str]

    @abstractmethod
    def retrieve(
        self,
        plan: RetrievalPlan,
        spine: pa.Table,
        times: Ints,
        histories: Mapping[str, SourceHistory],
        progress: Progress | None = None,
    ) -> Retrieved:
        """Carry out a plan.

        Args:
            plan: what is wanted.
            spine: join keys (of canonical type) and request fields, one row per row wanted.
            times: the moment of each spine row, UTC microseconds.
            histories: history by name, see `plan.retrieval.history_names`.
            progress: called with a step's text and the finished fraction of the whole.
        """

    def takes(self, data: object) -> bool:
        """Return whether a spine is a frame of the engine's own, which stays where it is."""
        del data
        return False

    def columns_of(self, frame: Any) -> pa.Schema:
        """Return the columns of a frame that the engine `takes`."""
        raise self._no_frames(frame)

    def retrieve_frame(
        self, plan: RetrievalPlan, frame: Any, histories: Mapping[str, SourceHistory]
    ) -> Any:
        """Return a frame of the engine's own with the features beside its columns.

        Args:
            plan: what is wanted.
            frame: that the engine `takes`: join keys, request fields, a time, and others.
            histories: as for `retrieve`.
        """
        raise self._no_frames(frame)

    def collect_frame(self, frame: Any) -> pa.Table:
        """Return the rows of a frame of the engine's own."""
        raise self._no_frames(frame)

    def write_frame(self, frame: Any, path: str) -> None:
        """Write a frame of the engine's own to a folder of Parquet files."""
        raise self._no_frames(frame)

    def first_of(self, frame: Any, rows: int) -> Any:
        """Return a frame with at most so many rows of another."""
        raise self._no_frames(frame)

    def unordered(self) -> InputError:
        """Return the error for what needs the order of rows that a frame does not have."""
        return InputError(
            f"the rows of a frame of engine {self.kind!r} have no order",
            hint="Build both training sets, as_of='known' and as_of='event_time', and join them.",
        )

    def explain(self, histories: Mapping[str, SourceHistory]) -> Sequence[str]:
        """Return in a few lines what the engine costs here; nothing where it costs nothing.

        Args:
            histories: as for `retrieve`.
        """
        del histories
        return ()

    def close(self) -> None:  # noqa: B027 - most have nothing open
        """Let go of what is open; an engine that is closed may be closed again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _no_frames(self, frame: object) -> InputError:
        return InputError(
            f"engine {self.kind!r} has no frames of its own", got=type(frame).__name__
        )

"""What a function does with the records of an event: each counts once, whatever AWS repeats.

    function = StreamFunction(Path("repo"), "payments")
    function(event)                                    # {"batchItemFailures": []}

`skewless.ingest.lanes.writer` keeps them. Known time is when AWS took the record, so a repetition
computes the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skewless.aws.records import records_of
from skewless.clock import Clock
from skewless.errors import SkewlessError
from skewless.ingest.lanes.writer import LaneWriter
from skewless.online.loss_detection import logger


class StreamFunction:
    """Takes the records of one source in.

    Args:
        folder: of skewless.toml; nothing is written there.
        source: name of the source.
        reports: whether Lambda has only the records come again that are returned; else an
            invocation fails as a whole, and what it has kept by then is passed over.
        clock: tells the present.

    Attributes:
        writer: keeps the records.

    Raises:
        Conflict: nothing was begun for the source, or a journal writes the states.
        DefinitionError: the source cannot be counted exactly.
    """

    def __init__(
        self, folder: Path, source: str, *, reports: bool = False, clock: Clock | None = None
    ) -> None:
        self.writer = LaneWriter(folder, source, clock=clock)
        self._reports = reports

    def __call__(self, event: dict[str, Any]) -> dict[str, Any]:
        """Take the records of an event in; see `skewless.aws.handler`."""
        stream, records = records_of(event)
        self.writer.check(stream)
        done = 0
        try:
            for done in self.writer.kept(records):  # noqa: B007 - how far it came
                pass
        except SkewlessError as problem:
            if not self._reports or not done:
                raise
            logger.error("%d of %d records: %s", len(records) - done, len(records), problem)
        return {"batchItemFailures": [{"itemIdentifier": each.id} for each in records[done:]]}

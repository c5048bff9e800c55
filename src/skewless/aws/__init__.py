"""Online states kept up by AWS Lambda: from Kinesis, SQS FIFO or DynamoDB Streams to DynamoDB.

    Handler: skewless.aws.handler              # of the function; SKEWLESS_SOURCE=payments

`begin` makes the tables of states once; each invocation adds its records to them (`function`).
docs/aws.md has the whole of it, with a template.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skewless.errors import ConfigError

if TYPE_CHECKING:
    from skewless.aws.function import StreamFunction


def handler(event: dict[str, Any], _context: object = None) -> dict[str, Any]:
    """Take in the records of an event of AWS Lambda; return those that are to come again.

    The environment says which: ``SKEWLESS_SOURCE`` is the source whose rows they are,
    ``SKEWLESS_FOLDER`` has skewless.toml (by default the function's own folder), and
    ``SKEWLESS_REPORT=1`` says that the event source mapping has ``ReportBatchItemFailures``.

    Args:
        event: of Kinesis, an SQS FIFO queue or DynamoDB Streams.
        _context: of the invocation; not looked at.

    Raises:
        InputError: an event of something else, or one that cannot be counted exactly.
        Conflict: the states are not those of this stream.
        StoreUnavailable: DynamoDB cannot be reached: the records come again.
    """
    return _function()(event)


@lru_cache(maxsize=1)
def _function() -> StreamFunction:
    """Return what the environment describes; kept from one invocation to the next."""
    from skewless.aws.function import StreamFunction

    source = os.environ.get("SKEWLESS_SOURCE", "")
    if not source:
        raise ConfigError(
            "the function does not know whose rows it gets",
            expected="SKEWLESS_SOURCE, the name of a source",
            where="the environment of the function",
        )
    folder = os.environ.get("SKEWLESS_FOLDER") or os.environ.get("LAMBDA_TASK_ROOT", ".")
    return StreamFunction(Path(folder), source, reports=os.environ.get("SKEWLESS_REPORT") == "1")

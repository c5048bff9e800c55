"""Where a source's rows lie or come from: tables (batch) and streams, as plain values.

>>> Parquet("data/tests/")
Parquet('data/tests/')
>>> Parquet("data/tests/").to_dict()
{'kind': 'parquet', 'path': 'data/tests/'}

Reading them is the work of `skewless.stores.offline` and `skewless.streams`, found by kind.
Relative paths are relative to the repo's folder.
"""

from __future__ import annotations

from typing import Any


class Located:
    """A place that rows come from: a kind and its options, equal by content."""

    kind: str = ""

    def __init__(self, **options: Any) -> None:
        self.options = {name: value for name, value in options.items() if value is not None}

    def to_dict(self) -> dict[str, Any]:
        """Return the place as plain data."""
        return {"kind": self.kind, **self.options}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Located) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(repr(v) for v in self.options.values())})"


class Table(Located):
    """A batch side of a source.

    Every table takes ``timezone``: the zone of its times that carry none, such as ``"UTC"`` or
    ``"Europe/Berlin"``. Without it such times are refused, never guessed.
    """


class Stream(Located):
    """A stream side of a source."""


class Parquet(Table):
    """A Parquet file, a folder of them, or a pattern with ``*``; also on ``s3://`` and others.

    Folders named ``column=value`` on the way to a file are columns of its rows.
    """

    kind = "parquet"

    def __init__(self, path: str, timezone: str | None = None) -> None:
        super().__init__(path=str(path), timezone=timezone)


class CSV(Table):
    """A CSV file, a folder of them, or a pattern, with a header line; plain, gzip or zip.

    Args:
        path: of the file, relative to the repo's folder.
        nulls: texts that stand for null; by default the empty text and ``NA``.
        delimiter: between fields.
        timezone: of times that carry none.
    """

    kind = "csv"

    def __init__(
        self,
        path: str,
        nulls: list[str] | None = None,
        delimiter: str | None = None,
        timezone: str | None = None,
    ) -> None:
        super().__init__(path=str(path), nulls=nulls, delimiter=delimiter, timezone=timezone)


class Delta(Table):
    """A Delta Lake table (``skewless[delta]``), by default its newest version."""

    kind = "delta"

    def __init__(self, path: str, version: int | None = None, timezone: str | None = None) -> None:
        super().__init__(path=str(path), version=version, timezone=timezone)


class Frame(Table):
    """A frame in memory: Arrow, Polars or pandas. It lives as long as the process."""

    kind = "frame"

    def __init__(self, data: Any, name: str = "frame", timezone: str | None = None) -> None:
        super().__init__(name=name, timezone=timezone)
        self.data = data

    def __repr__(self) -> str:
        return f"Frame({type(self.data).__name__}, {self.options['name']!r})"


class Files(Stream):
    """A folder or file that grows: JSON lines, CSV or Parquet."""

    kind = "files"

    def __init__(self, path: str, format: str = "json") -> None:
        super().__init__(path=str(path), format=format)


class Kafka(Stream):
    """A Kafka topic (``skewless[kafka]``).

    Args:
        topic: its name.
        servers: ``host:port``, several with commas.
        format: ``json``, ``avro`` or ``protobuf``.
        options: further settings of the consumer, by librdkafka's names.
    """

    kind = "kafka"

    def __init__(
        self,
        topic: str,
        servers: str,
        format: str = "json",
        options: dict[str, str] | None = None,
    ) -> None:
        super().__init__(topic=topic, servers=servers, format=format, options=options)


class Recorded(Table, Stream):
    """A place read back from a registry: its kind and options, whatever made it."""

    def __init__(self, data: dict[str, Any]) -> None:
        fields = dict(data)
        self.kind = fields.pop("kind")
        super().__init__(**fields)

    def __repr__(self) -> str:
        return f"{self.kind}({', '.join(repr(v) for v in self.options.values())})"

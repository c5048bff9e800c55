"""Where a source's rows lie or come from: tables (batch) and streams, as plain values.

>>> Parquet("data/tests/")
Parquet('data/tests/')
>>> Parquet("data/tests/").to_dict()
{'kind': 'parquet', 'path': 'data/tests/'}

Reading them is the work of `skewless.stores.offline` and `skewless.streams`, found by kind.
Relative paths are relative to the repo's folder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from skewless.clock import iso, to_micros
from skewless.definitions.message_parts import MessagePart, places_of
from skewless.errors import DefinitionError

AMBIGUOUS = ("earliest", "latest", "null", "raise")


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
    ``"Europe/Berlin"``. Without it such times are refused, never guessed. ``ambiguous`` says which
    moment is meant by a local time that autumn has twice or spring has not: ``"earliest"``,
    ``"latest"``, ``"null"``, or ``"raise"``, the default.

    Those that are no query take ``columns``: names of the source's columns to what the table calls
    them, such as ``{"paid": "amount_eur"}``, where that is another name.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        ambiguous = options.get("ambiguous")
        if ambiguous is not None and ambiguous not in AMBIGUOUS:
            expected = " or ".join(map(repr, AMBIGUOUS))
            raise DefinitionError("ambiguous", got=ambiguous, expected=expected)
        if ambiguous is not None and options.get("timezone") is None:
            raise DefinitionError(
                "ambiguous= goes with timezone=: times that carry a zone are one moment"
            )


class Stream(Located):
    """A stream side of a source."""


class Parquet(Table):
    """A Parquet file, a folder of them, or a pattern with ``*``; also on ``s3://`` and others.

    Folders named ``column=value`` on the way to a file are columns of its rows.
    """

    kind = "parquet"

    def __init__(
        self,
        path: str,
        timezone: str | None = None,
        ambiguous: str | None = None,
        *,
        columns: Mapping[str, str] | None = None,
    ) -> None:
        names = _names(columns)
        super().__init__(path=str(path), timezone=timezone, ambiguous=ambiguous, columns=names)


class CSV(Table):
    """A CSV file, a folder of them, or a pattern, with a header line; plain, gzip or zip.

    Args:
        path: of the file, relative to the repo's folder.
        nulls: texts that stand for null; by default the empty text and ``NA``.
        delimiter: between fields.
        timezone: of times that carry none.
        ambiguous: which moment a local time is that autumn has twice, see `Table`.
        columns: what the file calls columns of the source, see `Table`.
    """

    kind = "csv"

    def __init__(
        self,
        path: str,
        nulls: list[str] | None = None,
        delimiter: str | None = None,
        timezone: str | None = None,
        ambiguous: str | None = None,
        *,
        columns: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            path=str(path),
            nulls=nulls,
            delimiter=delimiter,
            timezone=timezone,
            ambiguous=ambiguous,
            columns=_names(columns),
        )


class Delta(Table):
    """A Delta Lake table (``skewless[delta]``), by default its newest version.

    Args:
        path: of its folder; also ``s3://`` and others.
        version: a number that its history has.
        as_of: a moment: the version that was the newest then.
        timezone: of times that carry none.
        ambiguous: which moment a local time is that autumn has twice, see `Table`.
        columns: what the table calls columns of the source, see `Table`.
    """

    kind = "delta"

    def __init__(
        self,
        path: str,
        version: int | None = None,
        as_of: str | datetime | None = None,
        timezone: str | None = None,
        ambiguous: str | None = None,
        *,
        columns: Mapping[str, str] | None = None,
    ) -> None:
        _only_one(version=version, as_of=as_of)
        super().__init__(
            path=str(path),
            version=version,
            as_of=_moment(as_of),
            timezone=timezone,
            ambiguous=ambiguous,
            columns=_names(columns),
        )


class Iceberg(Table):
    """An Iceberg table of a catalog (``skewless[iceberg]``), by default its newest snapshot.

    Args:
        name: with its namespace: ``"shop.payments"``.
        catalog: the section ``[connections.<catalog>]`` of ``skewless.toml`` whose options are
            pyiceberg's properties of a catalog; without one, a catalog of that name as pyiceberg's
            own settings (``.pyiceberg.yaml``, ``PYICEBERG_CATALOG__...``) have it.
        snapshot: the id of one.
        as_of: a moment: the snapshot that was the newest then.
        timezone: of times that carry none.
        ambiguous: which moment a local time is that autumn has twice, see `Table`.
        columns: what the table calls columns of the source, see `Table`.
    """

    kind = "iceberg"

    def __init__(
        self,
        name: str,
        catalog: str = "default",
        snapshot: int | None = None,
        as_of: str | datetime | None = None,
        *,
        timezone: str | None = None,
        ambiguous: str | None = None,
        columns: Mapping[str, str] | None = None,
    ) -> None:
        _only_one(snapshot=snapshot, as_of=as_of)
        super().__init__(
            name=name,
            catalog=catalog,
            snapshot=snapshot,
            as_of=_moment(as_of),
            timezone=timezone,
            ambiguous=ambiguous,
            columns=_names(columns),
        )


class Query(Table):
    """A table or a query of a database that answers in Arrow; subclasses name the database.

    Args:
        table: its name, with its schema where it needs one.
        query: a SELECT in its place, in the database's own SQL.
        connection: the section ``[connections.<name>]`` of ``skewless.toml``, by default the one
            named as the kind; or an address with ``${NAME}`` in place of a password, for databases
            that have addresses.
        timezone: of times that carry none.
        ambiguous: which moment a local time is that autumn has twice, see `Table`.
    """

    def __init__(
        self,
        table: str | None = None,
        *,
        query: str | None = None,
        connection: str | None = None,
        timezone: str | None = None,
        ambiguous: str | None = None,
    ) -> None:
        if (table is None) == (query is None):
            raise DefinitionError(
                f"{type(self).__name__} reads a table or a query",
                got="both" if table else "neither",
                expected="one of table= and query=",
            )
        connection = self.kind if connection is None else connection
        if (found := _PASSWORD.search(connection)) and not _VARIABLE.fullmatch(found[1]):
            raise DefinitionError(
                "a password in a definition: the registry would keep it",
                where=type(self).__name__,
                hint="Write ${NAME}, an environment variable, in its place.",
            )
        super().__init__(
            table=table, query=query, connection=connection, timezone=timezone, ambiguous=ambiguous
        )


class Postgres(Query):
    """A table or query of PostgreSQL (``skewless[postgres]``); see `Query`.

    Its connection has ``uri``, as libpq takes it.
    """

    kind = "postgres"


class Redshift(Query):
    """A table or query of Amazon Redshift (``skewless[postgres]``); see `Query`.

    Its connection has ``uri``, as libpq takes it.
    """

    kind = "redshift"


class Snowflake(Query):
    """A table or query of Snowflake (``skewless[snowflake]``); see `Query`.

    Its connection has what ``snowflake.connector.connect`` takes: ``account``, ``user``, ...
    """

    kind = "snowflake"


class BigQuery(Query):
    """A table or query of BigQuery (``skewless[bigquery]``); see `Query`.

    Its connection may have ``project``, ``location`` and ``endpoint``; credentials are the
    application default ones.
    """

    kind = "bigquery"


class SparkTable(Table):
    """A table or query of a catalog that a Spark session knows (``skewless[spark]``).

    The engine ``spark`` reads it by Spark's own readers; every other verb asks Spark, and what it
    needs of the rows comes here.

    Args:
        table: its name: ``catalog.database.table``.
        query: a SELECT in its place.
        timezone: of times that carry none.
        ambiguous: which moment a local time is that autumn has twice, see `Table`.
    """

    kind = "spark"

    def __init__(
        self,
        table: str | None = None,
        *,
        query: str | None = None,
        timezone: str | None = None,
        ambiguous: str | None = None,
    ) -> None:
        if (table is None) == (query is None):
            raise DefinitionError(
                "SparkTable reads a table or a query",
                got="both" if table else "neither",
                expected="one of table= and query=",
            )
        super().__init__(table=table, query=query, timezone=timezone, ambiguous=ambiguous)


class Frame(Table):
    """A frame in memory: Arrow, Polars or pandas. It lives as long as the process."""

    kind = "frame"

    def __init__(
        self,
        data: Any,
        name: str = "frame",
        timezone: str | None = None,
        ambiguous: str | None = None,
        *,
        columns: Mapping[str, str] | None = None,
    ) -> None:
        names = _names(columns)
        super().__init__(name=name, timezone=timezone, ambiguous=ambiguous, columns=names)
        self.data = data

    def __repr__(self) -> str:
        return f"Frame({type(self.data).__name__}, {self.options['name']!r})"


class Files(Stream):
    """A folder or file that grows: JSON lines, CSV or Parquet.

    Args:
        path: of it.
        format: ``json``, ``csv`` or ``parquet``.
        columns: of JSON: where columns lie that are not at the top under their own name, such as
            ``{"amount": "payload.after.amount"}``.

    Raises:
        DefinitionError: a path that is a pattern, a place that is none, or places in files that are
            not JSON.
    """

    kind = "files"

    def __init__(
        self, path: str, format: str = "json", columns: Mapping[str, str] | None = None
    ) -> None:
        where = f"files {path}"
        places = places_of(columns, where, parts=False)
        if places and format != "json":
            raise DefinitionError("columns= is for JSON", got=f"format {format!r}", where=where)
        if set("*?") & set(str(path)):
            raise DefinitionError(
                "a pattern where a folder or a file is expected",
                got=repr(str(path)),
                where=where,
                hint="All files of a folder that have the ending of the format are read.",
            )
        super().__init__(path=str(path), format=format, columns=places)


class Kafka(Stream):
    """A Kafka topic (``skewless[kafka]``).

    Args:
        topic: its name.
        servers: ``host:port``, several with commas.
        format: ``json``, ``avro`` or ``protobuf``.
        options: further settings of the consumer, by librdkafka's names.
        columns: where columns lie that are not at the top of the value under their own name: a path
            such as ``"payload.after.amount"``, `key`, `header` or `message_time`.

    Raises:
        DefinitionError: a place that is none.
    """

    kind = "kafka"

    def __init__(
        self,
        topic: str,
        servers: str,
        format: str = "json",
        options: dict[str, str] | None = None,
        columns: Mapping[str, str | MessagePart] | None = None,
    ) -> None:
        places = places_of(columns, f"Kafka topic {topic!r}")
        super().__init__(
            topic=topic, servers=servers, format=format, options=options, columns=places
        )


class Kinesis(Stream):
    """A Kinesis data stream (``skewless[kinesis]``).

    Args:
        stream: its name.
        region: of AWS; None: what the environment says.
        format: ``json``, ``avro`` or ``protobuf``.
        options: further arguments of boto3's client, such as ``endpoint_url``; and of decoders, as
            `Kafka` has them.
        columns: where columns lie that are not at the top of the value under their own name, as for
            `Kafka`: the key is the partition key.

    Raises:
        DefinitionError: a place that is none.
    """

    kind = "kinesis"

    def __init__(
        self,
        stream: str,
        region: str | None = None,
        format: str = "json",
        options: dict[str, str] | None = None,
        columns: Mapping[str, str | MessagePart] | None = None,
    ) -> None:
        places = places_of(columns, f"Kinesis stream {stream!r}")
        super().__init__(
            stream=stream, region=region, format=format, options=options, columns=places
        )


_PASSWORD = re.compile(r"://[^/@\s:]*:([^/@\s]*)@")
_VARIABLE = re.compile(r"\$\{[^}]+\}")


def _names(columns: object) -> dict[str, str] | None:
    """Return what a table calls columns of its source; None: what the source does.

    Raises:
        DefinitionError: it is not from name to name, or two columns are one of the table.
    """
    if columns is None or columns == {}:
        return None
    if not isinstance(columns, Mapping) or not all(
        isinstance(name, str) for pair in columns.items() for name in pair
    ):
        expected = "the source's name to the table's, such as {'paid': 'amount_eur'}"
        raise DefinitionError("columns", got=f"{columns!r:.60}", expected=expected, where="a table")
    theirs = list(columns.values())
    if twice := [name for name in theirs if theirs.count(name) > 1]:
        raise DefinitionError(
            f"two columns are column {twice[0]!r} of a table",
            got=repr(dict(columns)),
            hint="A view may use a column as often as it likes.",
        )
    return dict(columns)


def _only_one(**options: Any) -> None:
    given = [name for name, value in options.items() if value is not None]
    if len(given) > 1:
        raise DefinitionError(f"{' and '.join(given)} both say which version", hint="Drop one.")


def _moment(value: str | datetime | None) -> str | None:
    """Return a moment as text that the registry can keep."""
    return None if value is None else iso(to_micros(value, where="as_of"))


class Recorded(Table, Stream):
    """A place read back from a registry: its kind and options, whatever made it."""

    def __init__(self, data: dict[str, Any]) -> None:
        fields = dict(data)
        self.kind = fields.pop("kind")
        super().__init__(**fields)

    def __repr__(self) -> str:
        return f"{self.kind}({', '.join(repr(v) for v in self.options.values())})"

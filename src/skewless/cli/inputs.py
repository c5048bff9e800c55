"""Files that commands read: rows to push, spines, training sets, lists of entities.

JSON may be an array or lines; CSV has a header line; both may be gzipped; ``-`` is stdin.
"""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from skewless.codec import from_text, read_rows
from skewless.errors import CorruptData, InputError
from skewless.parquet import open_parquet, read_parquet
from skewless.stores.offline.tables import csv_lines
from skewless.types import Misfit, Unreadable

if TYPE_CHECKING:
    import pyarrow as pa

    from skewless.store import FeatureStore
    from skewless.types import DType

FORMATS = ("json", "csv", "parquet")
BATCH_ROWS = 10_000
MOST_JSON = 1 << 30
"""Characters of JSON that is no lines."""
_NULLS = ("", "NA")


def format_of(file: str, given: str | None) -> str:
    """Return the format of a file: the one given, else what its name says; stdin is JSON.

    Raises:
        InputError: the name says nothing.
    """
    if given is not None or file == "-":
        return given or "json"
    suffix = Path(file.removesuffix(".gz")).suffix.lower()
    found = {".jsonl": "json", ".ndjson": "json", ".tsv": "csv", ".pq": "parquet"}.get(
        suffix, suffix[1:]
    )
    if found not in FORMATS:
        raise InputError(
            "a file of an unknown format",
            got=file,
            expected=".json, .jsonl, .csv or .parquet",
            hint="Say which one it is: --format json",
        )
    return found


def types_asked(fs: FeatureStore, features: Any, full_names: bool = False) -> dict[str, DType]:
    """Return name and type of the join keys and request fields that some features need."""
    from skewless.plan.selection import select

    selection = select(fs.runtime.state(), features, full_names=full_names)
    requests = {request.name: request.dtype for request in selection.requests}
    return selection.join_keys | requests


def row_batches(file: str, format: str, dtypes: Mapping[str, DType]) -> Iterator[Any]:
    """Yield the rows of a file in batches: lists of dicts, or Arrow tables of Parquet.

    What is no row at all (a line that is not JSON, a CSV line with too many cells) is yielded as
    it is, for the store to quarantine.

    Args:
        file: its path, or ``-``.
        format: one of `FORMATS`.
        dtypes: column name to type: what the texts of a CSV file stand for.
    """
    if format == "parquet":
        yield from _parquet_batches(file)
        return
    with _opened(file) as stream:
        rows = _json_rows(stream, file) if format == "json" else _csv_rows(stream, dtypes, file)
        for batch in _batched(rows):
            yield read_rows(batch, dtypes) if format == "json" else batch


def entities_of(file: str) -> list[dict[str, Any]]:
    """Return the entities that a JSON file (array, lines or one object) lists.

    Raises:
        InputError: something in it is no object.
    """
    with _opened(file) as stream:
        found = list(_json_rows(stream, file))
    for number, entity in enumerate(found):
        if not isinstance(entity, dict):
            got = f"entity {number}: {entity!r}"
            raise InputError("an entity is an object of join keys", got=got, where=file)
    return found


def table_of(file: str, dtypes: Mapping[str, DType] | None = None) -> pa.Table:
    """Return a file as an Arrow table: a spine or a training set.

    Args:
        file: Parquet, CSV or JSON.
        dtypes: types of columns that are not left to guessing, such as join keys.

    Raises:
        CorruptData: the file is damaged.
        InputError: it cannot be read as its name says.
    """
    import pyarrow as pa
    import pyarrow.csv as pc

    from skewless.stores.offline.as_table import as_table

    format = format_of(file, None)
    try:
        if format == "parquet":
            return as_table(read_parquet(file), where=file)
        if format == "json":
            return as_table(entities_of(file), where=file)
        types = {name: dtype.arrow() for name, dtype in (dtypes or {}).items()}
        convert = pc.ConvertOptions(
            column_types=types, null_values=list(_NULLS), strings_can_be_null=True
        )
        return as_table(pc.read_csv(file, convert_options=convert), where=file)
    except pa.ArrowException as problem:
        raise CorruptData(f"not {format} that can be read", got=str(problem), where=file) from None


def _parquet_batches(file: str) -> Iterator[pa.Table]:
    import pyarrow as pa

    source = sys.stdin.buffer.read() if file == "-" else None
    try:
        reader = open_parquet(file if source is None else pa.BufferReader(source))
        for batch in reader.iter_batches(batch_size=BATCH_ROWS):
            yield pa.Table.from_batches([batch])
    except pa.ArrowException as problem:
        raise CorruptData("not Parquet that can be read", got=str(problem), where=file) from None


@contextmanager
def _opened(file: str) -> Iterator[IO[str]]:
    if file == "-":
        yield sys.stdin
        return
    opener: Any = gzip.open if file.endswith(".gz") else open
    try:
        with opener(file, "rt", encoding="utf-8-sig", newline="") as stream:
            yield stream
    except (UnicodeDecodeError, gzip.BadGzipFile, EOFError, zlib.error) as problem:
        raise CorruptData("not text in UTF-8", got=str(problem), where=file) from None


def _json_rows(stream: IO[str], file: str) -> Iterator[Any]:
    """Yield the elements of an array, or the lines; a line that is not JSON as its text."""
    text = csv_lines.lines(stream, file)
    first = next((line for line in text if line.strip()), "")
    whole = first.lstrip().startswith("[")
    if whole or first.strip() == "{":  # an array, or one object over several lines
        rest = stream.read(MOST_JSON + 1)
        if len(rest) > MOST_JSON:
            raise InputError(
                "a JSON text that is too long",
                got=f"more than {MOST_JSON:,} characters", where=file,
                hint="Write a row of JSON in each line: it is read line by line.",
            )  # fmt: skip
        try:
            found = json.loads(first + rest)
        except (ValueError, RecursionError) as problem:
            raise InputError("not JSON", got=str(problem), where=file) from None
        yield from found if whole else [found]
        return
    for line in chain([first], text):
        if line.strip():
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):
                yield line.rstrip("\n")


def _csv_rows(stream: IO[str], dtypes: Mapping[str, DType], file: str) -> Iterator[Any]:
    """Yield lines as dicts of typed cells; a cell that is no value of its type says why."""
    text = csv_lines.lines(stream, file)
    first = next(text, "")
    delimiter = "\t" if "\t" in first and "," not in first else ","
    header = next(csv_lines.rows(iter([first]), delimiter, file), [])
    if twice := [name for name, count in Counter(header).items() if count > 1]:
        raise InputError(f"a header that names column {twice[0]!r} twice", where=file)
    for cells in csv_lines.rows(text, delimiter, file):
        if not cells:
            continue
        if len(cells) != len(header):
            yield cells
            continue
        yield {
            name: _cell(text, dtypes.get(name)) for name, text in zip(header, cells, strict=True)
        }


def _cell(text: str, dtype: DType | None) -> Any:
    if text in _NULLS:
        return None
    if dtype is None:
        return text
    try:
        return from_text(text, dtype)
    except Misfit as problem:
        return Unreadable(text, problem)


def _batched(rows: Iterable[Any]) -> Iterator[list[Any]]:
    rows = iter(rows)
    while batch := list(islice(rows, BATCH_ROWS)):
        yield batch

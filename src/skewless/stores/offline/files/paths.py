"""The files behind a path: one file, a folder with all below, or a pattern; local or by URI."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from skewless.codec import from_text
from skewless.config import TableSettings
from skewless.errors import CorruptData, InputError, SkewlessError, StoreError, StoreUnavailable
from skewless.stores.offline.files.filesystems import locate
from skewless.types import DType, Misfit

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa
    import pyarrow.fs as pafs

HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
_WILD = re.compile(r"[*?\[]")


class MissingFile(StoreError):
    """A file that was listed is not there, or no longer."""


@dataclasses.dataclass(frozen=True)
class Declared:
    """What a source says of its table's columns.

    Attributes:
        types: of columns; those of other columns are found by looking.
        timezone: of times that carry none; None: they are refused.
        needed: columns that every file must have: times, row ids. Of others that a file lacks its
            rows have null.
    """

    types: Mapping[str, DType] = dataclasses.field(default_factory=dict)
    timezone: str | None = None
    needed: frozenset[str] = frozenset()

    def may_lack(self, column: str) -> bool:
        """Return whether a file without a column has null in its rows, and is no error."""
        return column in self.types and column not in self.needed


@dataclasses.dataclass(frozen=True)
class DataFile:
    """One file of a table.

    Attributes:
        path: in its file system.
        name: relative to the table: how parts and errors call it.
        version: changes whenever the content may have; "" where the table never changes files.
        partition: value of each column that the path or a manifest gives for all rows.
        rows: how many, where a manifest says so.
        bounds: least and greatest value of columns where a manifest says so: of times, in UTC
            microseconds, and of some integers.
        deleted: positions of rows that a manifest takes out of the file, ascending: int64.
    """

    path: str
    name: str
    version: str
    partition: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    rows: int | None = None
    bounds: Mapping[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    deleted: npt.NDArray[np.int64] | None = dataclasses.field(default=None, compare=False)


@dataclasses.dataclass(frozen=True)
class Listing:
    """The files of a table, sorted by name.

    Attributes:
        filesystem: that holds them.
        files: of the table.
        partition_types: Arrow type of each partition column.
        remote: whether reading them goes over a network.
    """

    filesystem: pafs.FileSystem
    files: tuple[DataFile, ...]
    partition_types: Mapping[str, pa.DataType]
    remote: bool


def list_files(
    path: str,
    base: Path | None,
    suffixes: Sequence[str],
    kind: str,
    settings: TableSettings = TableSettings(),  # noqa: B008 - frozen
    *,
    declared: Declared = Declared(),
) -> Listing:
    """Return the files at ``path``: of a folder those that end in one of ``suffixes``.

    Names that begin with ``.`` or ``_`` are skipped, as every writer of such folders expects.

    Raises:
        StoreError: nothing is there, or it may not be read.
    """
    import pyarrow.fs as pafs

    filesystem, root, remote = locate(path, base, settings)
    fits = _matches_suffix(tuple(suffixes))
    wild = _WILD.search(root)
    if wild:
        pattern = _pattern(root)
        root = root[: root.rfind("/", 0, wild.start())]
        fits = lambda name: pattern.fullmatch(f"{root}/{name}") is not None  # noqa: E731
    with translated(path, remote=remote):
        info = filesystem.get_file_info(root)
        if info.type == pafs.FileType.File:
            found = [(info, os.path.basename(root))]
        elif info.type == pafs.FileType.Directory:
            below = filesystem.get_file_info(pafs.FileSelector(root, recursive=True))
            found = [(each, each.path[len(root) :].lstrip("/")) for each in below if each.is_file]
            found = [(each, name) for each, name in found if fits(name) and not _hidden(name)]
        else:
            found = []
    if not found:
        raise StoreError(
            f"no {kind} files at {path!r}" + ("" if info.type else ": there is no such path"),
            where=root,
            hint="Relative paths are relative to the folder of the repo.",
        )
    found.sort(key=lambda pair: pair[1])
    folders = {name: hive_values(name) for _, name in found}
    values, types = typed_partitions(folders, declared)
    files = tuple(
        DataFile(each.path, name, version_of(each), partition)
        for (each, name), partition in zip(found, values, strict=True)
    )
    return Listing(filesystem, files, types, remote)


def version_of(info: pafs.FileInfo) -> str:
    """Return a token that changes when the file does: its size and the time it was changed."""
    return f"{info.size}-{info.mtime_ns}"


def hive_values(name: str) -> dict[str, str | None]:
    """Return the columns that folders named ``column=value`` give to the file ``name``."""
    values: dict[str, str | None] = {}
    for folder in name.split("/")[:-1]:
        column, equals, value = folder.partition("=")
        if equals and column:
            values[unquote(column)] = None if value == HIVE_NULL else unquote(value)
    return values


def typed_partitions(
    folders: Mapping[str, Mapping[str, str | None]], declared: Declared
) -> tuple[list[dict[str, Any]], dict[str, pa.DataType]]:
    """Give each partition column its declared type, by which the texts of the folders are read.

    Where none is declared it is the narrowest that all of its texts fit: whole numbers, then dates,
    else text.

    Args:
        folders: what the folders of each file say, by the file's name.
        declared: of the table.

    Raises:
        InputError: a text is no value of the declared type.
    """
    import pyarrow as pa

    columns = dict.fromkeys(column for folder in folders.values() for column in folder)
    read: dict[str, Callable[[str], Any]] = {}
    types: dict[str, pa.DataType] = {}
    for column in columns:
        texts = [text for folder in folders.values() if (text := folder.get(column)) is not None]
        if column in declared.types:
            dtype = declared.types[column]
            read[column] = functools.partial(_value_of, dtype, declared.timezone)
            types[column] = dtype.arrow()
        elif all(re.fullmatch(r"-?(0|[1-9]\d{0,17})", text) for text in texts):
            read[column], types[column] = int, pa.int64()
        elif all(_is_date(text) for text in texts):
            read[column], types[column] = datetime.date.fromisoformat, pa.date32()
        else:
            read[column], types[column] = str, pa.string()
    known: dict[tuple[str, str], Any] = {}
    typed = []
    for name, folder in folders.items():
        values: dict[str, Any] = {}
        for column, text in folder.items():
            if text is not None and (column, text) not in known:
                known[column, text] = _partition_value(read[column], text, column, name)
            values[column] = None if text is None else known[column, text]
        typed.append(values)
    return typed, types


def _value_of(dtype: DType, timezone: str | None, text: str) -> Any:
    """Return what the name of a folder says as a value of its column's declared type."""
    from skewless.stores.offline.cast import cast_column

    if dtype.kind == "timestamp":
        import pyarrow as pa

        column = pa.array([text], pa.string())
        return cast_column(column, dtype, where="a folder", timezone=timezone)[0].as_py()
    return text.encode() if dtype.kind == "bytes" else from_text(text, dtype)


def _partition_value(read: Callable[[str], Any], text: str, column: str, file: str) -> Any:
    where = f"folder {column}={text} of file {file!r}"
    try:
        return read(text)
    except InputError as problem:
        problem.where = where
        raise
    except Misfit as problem:
        raise InputError(
            "a folder whose name is no value of the declared type",
            got=str(problem),
            where=where,
            hint="Change the type in the schema, or the name of the folder.",
        ) from None


logger = logging.getLogger("skewless.tables")


def missing_column_note(column: str, files: Sequence[str], where: str) -> str:
    """Return what is said of a column that some files of a table do not have."""
    shown = ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
    return f"Column {column!r} of table {where!r} is null in the rows of files without it: {shown}."


@contextlib.contextmanager
def translated(where: str, *, remote: bool = False) -> Iterator[None]:
    """Raise what goes wrong with a file as an error of skewless that names the file.

    Raises:
        StoreUnavailable: a network failed.
        CorruptData: what the file holds cannot be decoded.
        StoreError: the file is gone or may not be read.
    """
    import pyarrow as pa

    try:
        yield
    except SkewlessError:
        raise
    except UnicodeEncodeError as error:
        raise StoreError("no path of a file", got=error.reason, where=ascii(where)) from None
    except FileNotFoundError as error:
        raise MissingFile(
            "a file is not there, or no longer",
            where=where,
            hint="If files are replaced while they are read, run the call again.",
        ) from error
    except OSError as error:
        if remote and (refused := _refused(error, where)):
            raise refused from error
        if error.errno:
            failed = StoreUnavailable if remote else StoreError
            raise failed("a file cannot be read", got=error.strerror, where=where) from error
        if remote:
            raise StoreUnavailable("a file cannot be read", got=error, where=where) from error
        raise damaged(where, error) from error
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise damaged(where, error) from error


_DENIED = re.compile(
    r"ACCESS_DENIED|INVALID_ACCESS_KEY_ID|SIGNATURE_DOES_NOT_MATCH|INVALID_CLIENT_TOKEN_ID"
    r"|INVALID_SIGNATURE|UNRECOGNIZED_CLIENT|EXPIRED_TOKEN|HTTP status 40[13]|PermissionDenied"
    r"|Unauthenticated|AuthenticationFailed|AuthorizationFailure|AuthorizationPermissionMismatch"
    r"|Forbidden|credential",
    re.IGNORECASE,
)
_NO_BUCKET = re.compile(r"NO_SUCH_BUCKET|bucket does not exist|ContainerNotFound", re.IGNORECASE)


def _refused(error: OSError, where: str) -> StoreError | None:
    """Return the error for what an object store refuses for good, None for an outage."""
    text = str(error)
    if found := _DENIED.search(text):
        return StoreError(
            "an object store does not let these credentials read a table",
            got=found.group(),
            where=where,
            hint="Look at the environment, the profile, [filesystem] in skewless.toml, the policy.",
        )
    if _NO_BUCKET.search(text):
        return StoreError(
            "there is no such bucket", where=where, hint="Is it another account, or endpoint?"
        )
    return None


def damaged(where: str, error: object) -> CorruptData:
    """Return the error for a file whose content cannot be decoded."""
    return CorruptData(
        "a file is damaged, or not of the kind it should be",
        got=str(error).splitlines()[0][:300] if str(error) else None,
        where=where,
        hint="Restore it or take it out of the table.",
    )


def _matches_suffix(suffixes: tuple[str, ...]) -> Any:
    return lambda name: name.lower().endswith(suffixes)


def _hidden(name: str) -> bool:
    return any(part[0] in "._" and "=" not in part for part in name.split("/"))


def _is_date(text: str) -> bool:
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _pattern(glob: str) -> re.Pattern[str]:
    """Translate a path with wildcards: ``*`` and ``?`` stay in one folder, ``**`` crosses them."""
    parts = []
    position = 0
    for match in re.finditer(r"\*\*/?|\*|\?|\[!?[^\]]+\]", glob):
        parts.append(re.escape(glob[position : match.start()]))
        token = match.group()
        if token.startswith("**"):
            parts.append("(?:.*/)?" if token.endswith("/") else ".*")
        elif token.startswith("["):
            parts.append(token.replace("[!", "[^"))
        else:
            parts.append("[^/]*" if token == "*" else "[^/]")
        position = match.end()
    parts.append(re.escape(glob[position:]))
    return re.compile("".join(parts), re.DOTALL)

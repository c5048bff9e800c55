"""An index of the row ids that a source's table holds: a push finds the row it corrects by it.

    build(history, path, ["card_id"])          # one scan of the table
    TableIds(path, ["pay_id"]).find(rows)      # places in the index, -1 for ids it does not hold

A row id is one thing, wherever its rows are: a row that is pushed under an id of the table corrects
the row of the table. To know that without reading the table at each push, the newest version of
each id is kept in a file sorted by 64 bits of the id: its times, 64 bits of its content, the id
itself (equal bits alone prove nothing) and the join keys of the entities it belongs to. The file is
mapped, not loaded: finding an id touches a few pages.

It is as large as the ids and join keys plus 32 bytes a row (`bytes_a_row`), and is built in bounded
memory: rows go to temporary files by ranges of their bits, each of which is sorted by itself.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from skewless.clock import ALWAYS
from skewless.errors import CorruptData
from skewless.stores.offline.hashing import content_hash
from skewless.stores.offline.superseded import exact_groups, id_bits

if TYPE_CHECKING:
    import pyarrow as pa

    from skewless.definitions.source import Source
    from skewless.stores.offline.history import History

Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]

ROWS_A_PART = 1 << 20
BITS, EVENT, KNOWN, CONTENT = "_bits", "_event", "_known", "_content"
_OWN = 4 * 8


def bytes_a_row(source: Source, keys: Sequence[str]) -> int:
    """Return about how many bytes of the index a row takes, text and bytes as 16 each."""
    kinds = [source.columns[name].arrow() for name in dict.fromkeys([*source.row_id, *keys])]
    return _OWN + sum(_width(kind) for kind in kinds)


def _width(arrow: Any) -> int:
    try:
        return max(1, int(arrow.bit_width) // 8)
    except ValueError:
        return 16 + 4


def build(history: History, path: Path, keys: Sequence[str]) -> int:
    """Write the index of a history's table to a file; return how many ids it has.

    Args:
        history: of the source; only its table is read, once.
        path: of the file; one that is there is replaced once the new one is complete.
        keys: names of columns of the source that are kept beside the ids.
    """
    import pyarrow as pa

    source = history.source
    names = list(dict.fromkeys([*source.row_id, *keys]))
    parts = max(1, -(-history.table_rows() // ROWS_A_PART))
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="_building") as folder:
        schema = _spread(history, names, parts, Path(folder))
        whole = Path(folder) / "whole"
        with pa.OSFile(str(whole), "wb") as file, pa.ipc.new_file(file, schema) as writer:
            for number in range(parts):
                table = _newest(_read(Path(folder) / str(number)), list(source.row_id))
                count += table.num_rows
                writer.write_table(table)
        with whole.open("rb") as written:
            os.fsync(written.fileno())
        whole.replace(path)
    return count


def checksum(path: Path) -> int:
    """Return the CRC-32 of a file, read a piece at a time."""
    found = 0
    with path.open("rb") as file:
        while piece := file.read(1 << 22):
            found = zlib.crc32(piece, found)
    return found


def _spread(history: History, names: list[str], parts: int, folder: Path) -> pa.Schema:
    """Write the rows of the table to files, each with those of a range of bits."""
    import pyarrow as pa

    types = [(name, history.source.columns[name].arrow()) for name in names]
    own = [(BITS, pa.uint64()), (EVENT, pa.int64()), (KNOWN, pa.int64()), (CONTENT, pa.uint64())]
    schema = pa.schema([*own, *types])
    columns = list(history.source.columns)
    with contextlib.ExitStack() as stack:
        writers = [
            stack.enter_context(pa.ipc.new_stream(str(folder / str(number)), schema))
            for number in range(parts)
        ]
        for chunk in history.table_chunks(columns):
            bits = id_bits(chunk.table.select(list(history.source.row_id)))
            content = content_hash(chunk.table, history.content_columns)
            rows = pa.Table.from_arrays(
                [*map(pa.array, (bits, chunk.event, chunk.known, content)),
                 *(chunk.table.column(name) for name in names)],
                schema=schema,
            )  # fmt: skip
            counts = (bits != 0) & (chunk.event != ALWAYS)
            part = _part_of(bits, parts)
            for number in np.unique(part[counts]).tolist():
                some = np.flatnonzero(counts & (part == number))
                writers[number].write_table(rows.take(pa.array(some)))
    return schema


def _part_of(bits: UInt64s, parts: int) -> Int64s:
    """Return in which of so many ranges bits lie."""
    return ((bits >> np.uint64(32)) * np.uint64(parts) >> np.uint64(32)).astype(np.int64)


def _read(path: Path) -> pa.Table:
    import pyarrow as pa

    with pa.OSFile(str(path), "rb") as file, pa.ipc.open_stream(file) as reader:
        return reader.read_all().combine_chunks()


def _newest(rows: pa.Table, ids: list[str]) -> pa.Table:
    """Return the version of each id that holds: of equal ones that follow each other the first."""
    import pyarrow as pa

    if not rows.num_rows:
        return rows
    bits, known, event, content = (rows[name].to_numpy() for name in (BITS, KNOWN, EVENT, CONTENT))
    group = exact_groups(bits, rows.select(ids))
    order = np.lexsort((content >> np.uint64(1), event, known, group, bits))
    same = group[order][1:] == group[order][:-1]
    again = same & (content[order][1:] == content[order][:-1])
    fresh = np.concatenate(([True], ~again))
    first_of_run = np.maximum.accumulate(np.where(fresh, np.arange(len(order)), 0))
    holds = first_of_run[np.concatenate((~same, [True]))]
    return rows.take(pa.array(order[holds]))


class TableIds:
    """The index of a table, as a file has it.

    Args:
        path: of the file.
        ids: names of the columns of the row id.

    Raises:
        CorruptData: it is no index, or was cut short.
    """

    def __init__(self, path: Path, ids: Sequence[str]) -> None:
        import pyarrow as pa

        self.path = path
        self._ids = list(ids)
        try:
            self._rows = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        except (pa.ArrowInvalid, OSError) as problem:
            raise CorruptData(
                "an index of row ids that cannot be read",
                got=str(problem).splitlines()[0][:200],
                where=str(path),
                hint="Delete the file: materialize creates it again.",
            ) from problem
        self._bits = [chunk.to_numpy() for chunk in self._rows[BITS].chunks if len(chunk)]
        sizes = [len(bits) for bits in self._bits]
        self._starts = np.cumsum([0, *sizes])
        self._firsts = np.array([bits[0] for bits in self._bits], np.uint64)

    def __len__(self) -> int:
        return int(self._rows.num_rows)

    @property
    def columns(self) -> list[str]:
        """The columns of the source that it has."""
        return [name for name in self._rows.column_names if not name.startswith("_")]

    def find(self, ids: pa.Table) -> Int64s:
        """Return the place of each row's id in the index, -1 where the table does not hold it.

        Args:
            ids: the columns of the row id.
        """
        bits = id_bits(ids)
        found = np.full(len(bits), -1, np.int64)
        if not self._bits:
            return found
        part = np.searchsorted(self._firsts, bits, "right") - 1
        for number in np.unique(part[(part >= 0) & (bits != 0)]).tolist():
            here = np.flatnonzero((part == number) & (bits != 0))
            own = self._bits[number]
            low = np.searchsorted(own, bits[here])
            hit = low < len(own)
            hit[hit] = own[low[hit]] == bits[here[hit]]
            found[here[hit]] = self._starts[number] + low[hit]
        some = np.flatnonzero(found >= 0)
        if len(some):
            found[some] = self._exact(found[some], bits[some], ids.take(some))
        return found

    def _exact(self, places: Int64s, bits: UInt64s, ids: pa.Table) -> Int64s:
        """Return the places where the ids are these: a run of equal bits may hold others too."""
        wanted = [tuple(row.values()) for row in ids.to_pylist()]
        found = places.copy()
        for at, (want, have) in enumerate(zip(wanted, self.take(places, self._ids), strict=True)):
            place, held = int(places[at]), have
            while want != held:
                place += 1
                if place >= len(self) or self._at(BITS, place) != bits[at]:
                    place = -1
                    break
                (held,) = self.take(np.array([place]), self._ids)
            found[at] = place
        return found

    def _at(self, name: str, place: int) -> int:
        return int(self._rows[name][place].as_py())

    def take(self, places: Int64s, names: Sequence[str]) -> list[tuple[Any, ...]]:
        """Return columns of the rows at some places, as tuples."""
        columns = [self._rows[name].take(places).to_pylist() for name in names]
        return list(zip(*columns, strict=True)) if columns else [()] * len(places)

    def rows(self, places: Int64s, names: Sequence[str]) -> pa.Table:
        """Return columns of the rows at some places."""
        return self._rows.select(list(names)).take(places)

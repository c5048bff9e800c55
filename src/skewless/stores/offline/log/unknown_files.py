"""Files of settled rows that the journal does not know: rows of another journal, or of a later one.

A file that no manifest names is a stray of a run that was killed, as long as the journal has its
rows. Where the journal ends before them (it is a new one, or was restored from a backup), they are
the only copy of rows that were acknowledged: they are never deleted, and never left out unsaid.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from skewless.errors import Conflict
from skewless.stores.offline.log.journal import STATE_KEY, State, log_table
from skewless.stores.online.base import KeyValues

OURS = re.compile(r"\d{20}-(\d{20})\.parquet(\.tmp)?")


def files_of(folder: Path) -> Iterator[tuple[Path, int]]:
    """Yield the files of a log's folder that it wrote, each with the sequence of its last row."""
    for dated in folder.glob("event_date=*"):
        for path in dated.iterdir():
            found = OURS.fullmatch(path.name)
            if found is not None:
                yield path, int(found[1])


def refuse_unknown(journal: KeyValues, folder: Path) -> None:
    """Refuse a journal that ends before the files of a log do.

    Args:
        journal: has the log.
        folder: of the log's files.

    Raises:
        Conflict: the files hold rows that it does not know.
    """
    where = str(folder)
    # In this order: what another process settles meanwhile its journal has before the files do.
    whole = [(until, path) for path, until in files_of(folder) if path.suffix == ".parquet"]
    until, path = max(whole, default=(0, folder))
    last = State.decode(journal.read_one(log_table(folder.name), STATE_KEY), where)
    if until >= last.next_sequence:
        raise Conflict(
            f"the files of log {folder.name!r} hold rows that the journal does not know",
            got=f"row {until} in {path.name}",
            expected=f"at most row {last.next_sequence - 1}, with which the journal ends",
            where=where,
            hint="Restore the journal that the files go with. If it is no more, move this folder"
            " away: its rows then no longer count.",
        )

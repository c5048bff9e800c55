"""Entities whose states reads found to be missing, or of a clock that was ahead.

They are marked, and whatever writes next builds their states (`materialize.repair`). A mark is a
write: it waits for the turn of other writers, and for the disk. Whoever answers requests cannot
wait for that, so a server's reads only remember them, and `mark` is called in its background.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from threading import Lock

from skewless.errors import StoreError
from skewless.online.dirty_keys import mark_keys, unmarked
from skewless.online.oversize import set_aside
from skewless.online.seen import seen_among
from skewless.stores.online.base import KeyValues, OnlineStore

MOST = 100_000
"""Entities of a table that are remembered; those beyond are met again by the next read."""


class ToRebuild:
    """Those of one repo.

    Args:
        journal: returns where they are marked.

    Attributes:
        later: whether reads remember them only, until `mark` is called.
    """

    def __init__(self, journal: Callable[[], OnlineStore]) -> None:
        self._journal = journal
        self._noted: dict[tuple[str, bool], set[bytes]] = {}
        self._lock = Lock()
        self.later = False

    def note(
        self, keys: Mapping[str, Sequence[bytes]], *, missing: bool, at_once: bool = False
    ) -> None:
        """Note entities.

        Args:
            keys: of the entities, by table.
            missing: whether they have no state: then those that never had one are left out.
            at_once: whether they are marked now, also where that is done later.
        """
        with self._lock:
            for table, some in keys.items():
                noted = self._noted.setdefault((table, missing), set())
                if len(noted) < MOST:
                    noted.update(some)
        if at_once or not self.later:
            self.mark()

    def mark(self) -> None:
        """Mark those that were noted and are not marked yet, where the journal can be written."""
        with self._lock:
            noted, self._noted = self._noted, {}
        journal = self._journal() if noted else None
        for (table, missing), keys in noted.items():
            assert journal is not None
            new = unmarked(journal, table, _had(journal, table, keys) if missing else keys)
            if new:
                with suppress(StoreError), journal.transaction() as transaction:
                    mark_keys(transaction, table, new, 0)


def _had(journal: KeyValues, table: str, keys: set[bytes]) -> set[bytes]:
    """Return those that had a state, other than one that is too large: it would be again."""
    gone = seen_among(journal, table, sorted(keys))
    return gone - set_aside(journal, table).keys() if gone else gone

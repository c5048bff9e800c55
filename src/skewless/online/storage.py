"""Homes: where a repo's states are, and where its event logs, row ids and records are.

One online store holds both where it has transactions. Elsewhere the second half lies in an
embedded store beside it, the journal. `store_of` says which table belongs where.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from pathlib import Path

from skewless.config import Section
from skewless.plugins import create
from skewless.stores.online.base import OnlineStore
from skewless.stores.online.sealed import sealed

JOURNAL = "journal"
LEASES = "skewless.leases"
_STATES = re.compile(r"[^.]+\.[^.]+\.[0-9a-f]{8}(\.[0-9]+)?")


@dataclass(frozen=True)
class Home:
    """The stores of a repo.

    Attributes:
        states: the online store.
        journal: the store with transactions; the online store itself if it has them.
    """

    states: OnlineStore
    journal: OnlineStore

    @property
    def one_store(self) -> bool:
        """Whether states and logs are in one store, so that one transaction changes both."""
        return self.journal is self.states

    def store_of(self, table: str) -> OnlineStore:
        """Return the store that holds a table."""
        return self.states if is_states(table) else self.journal

    def tables(self) -> list[str]:
        """Return the names of all tables, sorted."""
        found = {name for name in self.states.tables() if is_states(name) or self.one_store}
        if not self.one_store:
            found |= {name for name in self.journal.tables() if not is_states(name)}
        return sorted(found)

    def close(self) -> None:
        """Close the stores."""
        self.states.close()
        if not self.one_store:
            self.journal.close()


def is_states(table: str) -> bool:
    """Return whether a table holds states, see `StateLayout.table`.

    >>> is_states("payments.card.0a1b2c3d"), is_states("log.payments"), is_states("skewless.states")
    (True, False, False)
    >>> is_states("payments.card.0a1b2c3d.2")  # the second table of the layout
    True
    """
    return _STATES.fullmatch(table) is not None


def open_store(section: Section, where: str) -> OnlineStore:
    """Return the online store that a section of the settings describes."""
    made: OnlineStore = create("online_store", section.kind, dict(section.options), where=where)
    return sealed(made)


def journal_beside(states: OnlineStore, folder: Path) -> OnlineStore:
    """Return the journal of states: their own store, or an embedded one below ``folder``."""
    if states.capabilities.transactions:
        return states
    made: OnlineStore = create(
        "online_store", "lmdb", {"path": str(folder / JOURNAL)}, where="the journal"
    )
    return sealed(made)


def open_home(section: Section, folder: Path, where: str) -> Home:
    """Return the home that a section of the settings describes.

    Args:
        section: kind and options of an online store.
        folder: of the offline store, where a journal of its own would lie.
        where: named in errors.

    Raises:
        StoreError: it cannot be opened.
    """
    states = open_store(section, where)
    try:
        return Home(states, journal_beside(states, folder))
    except BaseException:
        states.close()
        raise


def journal_id(journal: OnlineStore) -> str:
    """Return a name that tells this journal from all others; made when it is first asked for."""
    found = journal.read_one(LEASES, b"")
    if found is None:
        with journal.transaction() as rows:
            found = rows.read_one(LEASES, b"")
            if found is None:
                found = uuid.uuid4().hex[:12].encode()
                rows.write(LEASES, [(b"", found)])
    return found.decode()

"""Homes: where a repo's states are, and where its event logs, row ids and records are.

One online store holds both where it has transactions. Elsewhere the second half lies in another
store, the journal: an embedded one beside it, or the one of ``[journal]`` that several machines
share. `store_of` says which table belongs where. Both hold the tables of one project.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from pathlib import Path

from skewless.config import Config, Section
from skewless.errors import ConfigError
from skewless.plugins import create
from skewless.stores.online.base import OnlineStore
from skewless.stores.online.projects import is_of_project, of_project
from skewless.stores.online.sealed import sealed

JOURNAL = "journal"
LEASES = "skewless.leases"
_STATES = re.compile(r"[^.@][^.]*\.[^.]+\.[0-9a-f]{8}(\.[0-9]+)?")


@dataclass(frozen=True)
class StateAndJournal:
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
        return sorted(name for name in found if not is_of_project(name))

    def follow(self) -> bool:
        """Open files that were put in the place of those that are open; say whether there are any.

        Raises:
            StoreUnavailable, CorruptData: see `OnlineStore.follow`.
        """
        states = self.states.follow()
        return (not self.one_store and self.journal.follow()) or states

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


def open_store(section: Section, where: str, *, read_only: bool = False) -> OnlineStore:
    """Return the online store that a section of the settings describes."""
    made: OnlineStore = create("online_store", section.kind, dict(section.options), where=where)
    return sealed(made, read_only=read_only)


def journal_beside(states: OnlineStore, folder: Path, config: Config) -> OnlineStore:
    """Return the journal of states: their own store, the one of the settings, or an embedded one.

    Args:
        states: where states are.
        folder: of the offline store, where an embedded journal lies.
        config: the settings.

    Raises:
        ConfigError: the settings name a journal that cannot be one.
    """
    if states.capabilities.transactions:
        return states
    where = f"[journal] of {config.file or config.folder}"
    if config.journal is None:
        options = {"path": str(folder / JOURNAL)}
        made: OnlineStore = create("online_store", "lmdb", options, where="the journal")
        return sealed(made, read_only=config.read_only)
    given = open_store(config.journal, where, read_only=config.read_only)
    if not given.capabilities.transactions:
        given.close()
        raise ConfigError(
            "the journal needs a store with transactions",
            got=config.journal.kind,
            expected="postgres, sqlite or lmdb",
            where=where,
        )
    return of_project(given, config.project)


def home_of(states: OnlineStore, folder: Path, config: Config) -> StateAndJournal:
    """Return the home of a project whose states are in a store that is open."""
    mine = of_project(states, config.project)
    return StateAndJournal(mine, journal_beside(mine, folder, config))


def open_home(section: Section, folder: Path, where: str, config: Config) -> StateAndJournal:
    """Return the home that a section of the settings describes.

    Args:
        section: kind and options of an online store.
        folder: of the offline store, where a journal of its own would lie.
        where: named in errors.
        config: the settings: project and journal.

    Raises:
        StoreError: it cannot be opened.
        ConfigError: the settings name a journal that cannot be one.
    """
    states = open_store(section, where, read_only=config.read_only)
    try:
        return home_of(states, folder, config)
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

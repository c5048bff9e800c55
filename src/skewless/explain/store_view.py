"""What monitoring needs of an open repo, and nothing more; `skewless.jobs` provides it."""

from __future__ import annotations

from typing import Any, Protocol

from skewless.clock import Clock
from skewless.config import Config
from skewless.definitions import Source
from skewless.ledger.ledger import Ledger
from skewless.online.reader import OnlineReader
from skewless.online.storage import StateAndJournal
from skewless.plan.apply.registry_state import RegistryState
from skewless.registry.base import Registry
from skewless.stores.offline.history import History
from skewless.stores.offline.log.log import EventLog
from skewless.stores.online.base import OnlineStore


class StoreView(Protocol):
    """The open parts of one repo.

    Attributes:
        config: its settings.
        clock: tells the present.
    """

    config: Config
    clock: Clock

    @property
    def registry(self) -> Registry:
        """The registry."""

    @property
    def ledger(self) -> Ledger:
        """The record of what happened."""

    @property
    def online(self) -> OnlineStore:
        """The online store."""

    @property
    def home(self) -> StateAndJournal:
        """The stores of states and journal, without the mirror."""

    def state(self, *, fresh: bool = False) -> RegistryState:
        """Return the registry's state."""

    @property
    def reader(self) -> OnlineReader:
        """What features are read with."""

    def losses(self) -> list[str]:
        """Return what the online store has lost of the tables that answer, a line each."""

    def tables(self) -> Any:
        """Return the tables of states."""

    def source(self, name: str) -> Source:
        """Return a source by name."""

    def log(self, source: Source) -> EventLog:
        """Return the event log of a source."""

    def history(self, source: Source) -> History:
        """Return the history of a source."""

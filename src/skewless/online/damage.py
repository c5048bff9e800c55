"""Reading every byte that a repo keeps: what is damaged, and where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from skewless.errors import CorruptData
from skewless.online.storage import StateAndJournal
from skewless.stores.offline.log.log import EventLog
from skewless.stores.online.projects import whole
from skewless.stores.online.sealed import Damage, sealed


def damages(home: StateAndJournal, logs: Iterable[EventLog]) -> Iterator[Damage]:
    """Yield what is damaged in states, journal and the files of event logs.

    Args:
        home: states and journal.
        logs: whose settled files are read too.
    """
    stores = [home.states] if home.one_store else [home.states, home.journal]
    for store in stores:
        yield from sealed(whole(store)).damages()
    for log in logs:
        try:
            for _ in log.reader().chunks(list(log.source.columns)):
                pass  # pages of files carry checksums, which reading them looks at
        except CorruptData as problem:
            yield Damage(problem.where or f"the event log of {log.source.name}", str(problem))

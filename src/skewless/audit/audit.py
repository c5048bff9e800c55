"""Puts every access on record: in memory at once, in sealed files within a second, or before it.

    audit = Audit.of(config, registry, clock)
    audit.note(Access("read online", "service:checkout", features, codecs, rows, len(rows)))

Records wait in memory until a thread of the audit's own writes them, once a second: no read waits
for a disk, and a process that is killed loses what it did within that second. In mode ``strict`` a
read waits: what cannot be put on record is not answered (`AuditUnavailable`, 503 over HTTP).
"""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from skewless.access.keyed import KeyedHash
from skewless.audit.events import (
    ACCESS,
    FEATURES,
    Access,
    FeatureList,
    Subjects,
    said_of,
    said_together,
)
from skewless.audit.index import index_of
from skewless.clock import Clock
from skewless.config import Config
from skewless.errors import ConfigError, SkewlessError, StoreUnavailable
from skewless.forks import Lock, cached_property
from skewless.ledger.ledger import Ledger, ledger_of
from skewless.plan.lookup import Lookup
from skewless.registry.base import Registry

logger = logging.getLogger("skewless.audit")
OFF, ON, STRICT = "off", "on", "strict"
MODES = (OFF, ON, STRICT)
EVERY = 1.0
"""Seconds between two writes."""
MOST_WAITING = 200_000
"""Accesses that wait; where more do, they are dropped, and counted."""
_MOST_TOGETHER = 500
"""Small reads of one record."""
_MOST_READS = 1_000
"""Compiled reads of which it is kept what they read."""
About = tuple[FeatureList, tuple[Subjects, ...]]
PURPOSE = "SKEWLESS_PURPOSE"
"""The variable that says what the reads of a process are for."""


class AuditUnavailable(StoreUnavailable):
    """The audit cannot be written, and without it nothing is read: mode ``strict``."""


class Audit:
    """The audit of one open repo.

    Args:
        opened: returns where it is written; asked for when it is first needed.
        mode: of `MODES`.
        keyed: returns the hash of entities; asked for when it is first needed.
        now: tells the present, UTC microseconds.

    Attributes:
        mode: of `MODES`.
        noted: how many accesses were noted.
    """

    def __init__(
        self,
        opened: Callable[[], Ledger],
        mode: str,
        keyed: Callable[[], KeyedHash],
        now: Callable[[], int],
    ) -> None:
        self._now = now
        self._opened = opened
        self.mode = mode
        self._make_keyed = keyed
        self.noted = 0
        self._waiting: deque[tuple[int, Access]] = deque()
        self._numbers = itertools.count(1)
        self._failed, self._why = 0, "too much waits to be put on record"
        self._lock = Lock()
        self._thread: threading.Thread | None = None
        self._process = os.getpid()
        self._stop = threading.Event()
        self._file, self._listed = 0, set[str]()
        self._about: dict[Lookup, About] = {}

    @classmethod
    def of(
        cls,
        config: Config,
        beside: Callable[[], Ledger],
        registry: Callable[[], Registry],
        clock: Clock,
    ) -> Audit:
        """Return the audit that the settings ask for.

        Args:
            config: the settings of the repo.
            beside: returns the ledger of the repo.
            registry: returns what keeps the head of each.
            clock: tells the present.

        Raises:
            ConfigError: ``[audit] mode`` is none.
        """
        given = {} if config.audit is None else config.audit.options
        mode = given.get("mode", OFF if config.audit is None else ON)
        if mode not in MODES:
            raise ConfigError(
                "not a mode of the audit", got=repr(mode), expected=", ".join(MODES),
                where=f"[audit] of {config.file or config.folder}",
            )  # fmt: skip

        def opened() -> Ledger:
            folder = beside().folder.parent / "audit"
            return ledger_of(config, folder, registry, clock, name="audit")

        return cls(opened, mode, lambda: KeyedHash.read(config), clock.now)

    @cached_property
    def ledger(self) -> Ledger:
        """Where it is written."""
        return self._opened()

    @cached_property
    def keyed(self) -> KeyedHash:
        """Hashes entities."""
        return self._make_keyed()

    @property
    def is_on(self) -> bool:
        """Whether accesses are put on record."""
        return self.mode != OFF

    @property
    def is_strict(self) -> bool:
        """Whether an access has to be on record before it is answered."""
        return self.mode == STRICT

    @property
    def dropped(self) -> int:
        """How many accesses could not be written since the last that could."""
        return self.ledger.dropped if self.is_on else 0

    def about(self, lookup: Lookup) -> About:
        """Return what a compiled read reads, and what names its entities."""
        found = self._about.get(lookup)
        if found is None:
            if len(self._about) >= _MOST_READS:
                self._about.clear()
            selection = lookup.selection
            found = FeatureList.of_selection(selection), Subjects.of_selection(selection)
            self._about[lookup] = found
        return found

    def note(self, access: Access) -> int:
        """Let an access wait to be written; return its number, for `settle`."""
        if self.mode == OFF:
            return 0
        if self._thread is None or self._process != os.getpid():
            self._begin()
        access.at = access.at or self._now()
        number = self.noted = next(self._numbers)
        if len(self._waiting) >= MOST_WAITING:
            self.ledger.dropped += 1
            self._failed = number
        else:
            self._waiting.append((number, access))
        return number

    def settle(self, number: int) -> None:
        """In mode ``strict``: return when an access, and all before, are on record; else at once.

        Raises:
            AuditUnavailable: that one, or one after it, cannot be put on record.
        """
        if self.mode != STRICT or not number:
            return
        self.write()
        if self._failed >= number:
            raise AuditUnavailable(
                "the audit cannot be written, so nothing is read",
                got=self._why, where=str(self.ledger.folder),
                hint='[audit] mode = "strict" asks for that.',
            )  # fmt: skip

    def record(self, access: Access) -> None:
        """Let an access wait to be written, and in mode ``strict`` wait for it.

        Raises:
            AuditUnavailable: mode ``strict``, and it cannot be put on record.
        """
        self.settle(self.note(access))

    def write(self) -> int:
        """Put on record what waits, as one segment; return how many accesses that were."""
        with self._lock:
            batch: list[tuple[int, Access]] = []
            while self._waiting:
                batch.append(self._waiting.popleft())
            if not batch:
                return 0
            try:
                self._append([access for _, access in batch])
            except SkewlessError as problem:
                self._failed, self._why = batch[-1][0], problem.what
                self.ledger.dropped += len(batch)
                logger.warning("%d accesses are not on record: %s", len(batch), problem)
                return 0
            return len(batch)

    def close(self) -> None:
        """Write what waits, and stop."""
        self._stop.set()
        self.write()

    # ------------------------------------------------------------------------------------ private

    def _append(self, batch: list[Access]) -> None:
        """Append accesses, behind the lists of features that their file does not have yet."""
        chain = self.ledger.chain
        file = chain.head().file
        if file != self._file:
            if self._file:
                with suppress(OSError):  # a search makes it
                    index_of(chain.files()[self._file - 1])
            self._file, self._listed = file, set()
        lists = {access.features.name: access.features for access in batch if access.features.name}
        new = [each for name, each in lists.items() if name not in self._listed]
        self.ledger.append(
            [
                *((FEATURES, {"id": each.name, "features": list(each.references)}) for each in new),
                *((ACCESS, said) for said in self._said(batch)),
            ]
        )
        self._listed.update(each.name for each in new)

    def _said(self, batch: Sequence[Access]) -> Iterator[dict[str, Any]]:
        """Yield accesses as plain data, small reads together."""
        now, groups = self._now(), dict[Any, list[Access]]()
        for access in batch:
            if (common := access.group) is None:
                yield said_of(access, self.keyed, now)
            else:
                groups.setdefault(common, []).append(access)
        for group in groups.values():
            for start in range(0, len(group), _MOST_TOGETHER):
                yield said_together(group[start : start + _MOST_TOGETHER], self.keyed, now)

    def _begin(self) -> None:
        """Begin to write once a second; in a child of a fork, what the parent writes apart."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._waiting.clear()
            self._stop = threading.Event()
        self._thread = threading.Thread(
            target=_write_often, args=(weakref.ref(self), self._stop), name="audit", daemon=True
        )
        self._thread.start()
        _OPEN.add(self)


_OPEN: weakref.WeakSet[Audit] = weakref.WeakSet()


def _write_often(audit: weakref.ref[Audit], stop: threading.Event) -> None:
    """Write what waits once a second, as long as the audit is there."""
    while not stop.wait(EVERY):
        if (found := audit()) is None:
            return
        try:
            found.write()
        except Exception:  # whatever it is, the next second it may go well
            logger.exception("accesses are not on record")
        del found


@atexit.register
def _write_at_exit() -> None:
    for audit in list(_OPEN):
        if audit._process == os.getpid():
            audit.close()

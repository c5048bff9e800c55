"""What a repo's ledger is to those who write it: recording never fails a job; reading is a filter.

    ledger = Ledger(folder, lambda: registry, clock)
    ledger.record("check", {"view": "Spend", "passed": True})
    for record in ledger.records(kinds=["run"]):
        ...

Each host has a chain of its own in the folder, and the registry keeps the head of each chain. A
record that cannot be written is counted, and the next one that can says how many are missing.
"""

from __future__ import annotations

import heapq
import logging
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from skewless.clock import Clock, iso
from skewless.config import Config
from skewless.errors import SkewlessError, StoreError, UnknownName
from skewless.ledger.chain import Chain, Head, Said
from skewless.ledger.checkpoints import Checkpoint, Checkpoints, said_of
from skewless.ledger.lines import Record
from skewless.ledger.verify import ChainReport, Damage, verify_chain
from skewless.registry.base import Registry

logger = logging.getLogger("skewless.ledger")
LEDGER = "ledger"
GAP = "gap"
"""Kind of the record that says how many others could not be written."""


@dataclass
class LedgerReport:
    """What was found in a ledger.

    Attributes:
        chains: one report each.
        elsewhere: chains that the registry knows and whose files lie on other hosts.
        checkpoints: those it was held against; None: against none.
        faults: what is wrong with checkpoints.
    """

    chains: list[ChainReport] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    checkpoints: list[Checkpoint] | None = None
    faults: list[Damage] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether all that was sealed is there, as it was written."""
        return not self.faults and all(chain.ok for chain in self.chains)

    @property
    def records(self) -> int:
        """How many records are sealed and as they were written."""
        return sum(chain.records for chain in self.chains)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        problems = [*self.faults, *(each for chain in self.chains for each in chain.problems)]
        held = self.checkpoints
        return {
            "ok": self.ok,
            "records": self.records,
            "segments": sum(chain.segments for chain in self.chains),
            "chains": [chain.chain for chain in self.chains],
            "problems": [vars(damage) for damage in problems],
            "checkpoints": None if held is None else len(held),
            "newest_checkpoint": iso(held[-1].at) if held else None,
            "gaps": [gap for chain in self.chains for gap in chain.gaps],
            "elsewhere": self.elsewhere,
        }

    def __str__(self) -> str:
        data = self.to_dict()
        lines = [f"{self.records:,} records in {data['segments']:,} sealed segments are as written"]
        lines += [] if self.checkpoints is None else [said_of(self.checkpoints)]
        lines += [f"Damaged: {each}" for each in self.faults]
        lines += [f"Damaged: {each}" for chain in self.chains for each in chain.problems]
        lines += [f"Gap: {gap}" for gap in data["gaps"]]
        lines += [f"Elsewhere: chain {name} lies on another host" for name in self.elsewhere]
        return "\n".join(lines)


def ledger_of(
    config: Config,
    folder: Path,
    registry: Callable[[], Registry],
    clock: Clock,
    *,
    name: str = LEDGER,
) -> Ledger:
    """Return the ledger in a folder, as the settings say; one of another name is kept apart."""
    made = Ledger(folder, registry, clock, read_only=config.read_only, name=name)
    made.checkpoints = Checkpoints.of(config, "" if name == LEDGER else name)
    return made


class Ledger:
    """The ledger of one repo.

    Args:
        folder: of its chains.
        registry: returns what keeps the head of each chain.
        clock: tells the present.
        host: names the chain that is written to; by default this machine.
        name: under which the registry keeps the heads.
        read_only: whether nothing may be written.

    Attributes:
        dropped: records that could not be written since the last one that could.
        checkpoints: where it is signed how far it goes; by default nowhere.
        listeners: told of every record that was written; they must neither wait nor fail.
    """

    def __init__(
        self,
        folder: Path,
        registry: Callable[[], Registry],
        clock: Clock,
        *,
        host: str | None = None,
        read_only: bool = False,
        name: str = LEDGER,
    ) -> None:
        self._heads_at = f"{name}/"
        self.checkpoints = Checkpoints("")
        self._read_only = read_only
        self.folder = folder
        self._registry = registry
        self._clock = clock
        self.listeners: list[Callable[[Record], None]] = []
        self.chain = Chain(folder / quote(host or socket.gethostname(), safe=""))
        self.dropped = 0

    def append(self, said: Sequence[Said]) -> list[Record]:
        """Append records as one segment, on disk when it returns; return them.

        Raises:
            StoreError: they cannot be written.
        """
        if self._read_only:
            raise StoreError(
                "the ledger can only be read",
                got='mode = "read-only" in the settings',
                where=str(self.folder),
            )
        missing: list[Said] = [(GAP, {"dropped": self.dropped})] if self.dropped else []
        made = self.chain.append([*missing, *said], at=self._clock.now(), keep=self._keep)
        self.dropped = 0
        for record in made:
            for listener in self.listeners:
                listener(record)
        return made[len(missing) :]

    def record(self, kind: str, data: Mapping[str, Any]) -> Record | None:
        """Append one record and return it; None where that failed: it is logged and counted."""
        return next(iter(self.record_all([(kind, data)])), None)

    def record_all(self, said: Sequence[Said]) -> list[Record]:
        """Append records and return them; none where that failed: it is logged and counted."""
        if not said:
            return []
        try:
            return self.append(said)
        except StoreError as problem:
            self.dropped += len(said)
            logger.warning("not in the ledger: a record of kind %s: %s", said[0][0], problem)
            return []

    def records(
        self,
        *,
        kinds: Sequence[str] | None = None,
        since: int | None = None,
        containing: Sequence[bytes] = (),
    ) -> Iterator[Record]:
        """Yield what was recorded, oldest first.

        Args:
            kinds: of these kinds alone; None: of all.
            since: from this moment on, UTC microseconds.
            containing: only records whose JSON has one of these bytes; none: all. What is long and
                not wanted need not be read as JSON.
        """
        found = heapq.merge(
            *(chain.records(kinds, since, containing) for chain in self.chains()),
            key=lambda record: record.at,
        )
        return (record for record in found if since is None or record.at >= since)

    def size(self) -> int:
        """Return how long all chains are, bytes: what was recorded since makes it another."""
        return sum(file.stat().st_size for chain in self.chains() for file in chain.files())

    def get(self, record_id: str) -> Record:
        """Return a record by its id.

        Raises:
            UnknownName: there is none.
        """
        chain, _, number = record_id.rpartition(":")
        for record in Chain(self.folder / quote(chain, safe="%")).records() if chain else ():
            if str(record.n) == number:
                return record
        raise UnknownName(
            f"the ledger has no record {record_id!r}", hint="List them: skewless ledger list"
        )

    @property
    def is_signed(self) -> bool:
        """Whether checkpoints are made: a second place and a key are named."""
        return self.checkpoints.are_made

    def checkpoint(self) -> Checkpoint:
        """Sign where every chain ends, and append that to the checkpoints.

        Raises:
            ConfigError: there is no second place for them, or no key.
            StoreError: they cannot be written.
        """
        heads = self._heads() | {chain.name: chain.head() for chain in self.chains()}
        return self.checkpoints.write(heads, at=self._clock.now())

    def verify(self, *, signed: bool = False, public_key: str = "") -> LedgerReport:
        """Return whether every chain is as it was written, and what is not.

        Args:
            signed: whether it is held against the signed checkpoints too.
            public_key: who has to have signed them; empty: as the settings say.

        Raises:
            ConfigError, InputError: there are no checkpoints.
        """
        heads = self._heads()
        report = LedgerReport()
        if signed:
            report.checkpoints, report.faults = self.checkpoints.read(public_key)
        held = report.checkpoints or []
        here = {chain.name for chain in self.chains()}
        for name in sorted(here.union(heads, *(each.heads for each in held))):
            if name in here or name == self.chain.name:
                seals = [each.heads.get(name) for each in held]
                report.chains.append(verify_chain(self.folder / name, heads.get(name), *seals))
            else:
                report.elsewhere.append(name)
        return report

    def _heads(self) -> dict[str, Head]:
        """Return the newest seal of each chain, as the registry has it."""
        kept = self._registry().progress(self._heads_at)
        return {name.removeprefix(self._heads_at): Head(**head) for name, head in kept.items()}

    def chains(self) -> list[Chain]:
        """Return the chains whose files are here."""
        with suppress(OSError):
            return [Chain(each) for each in sorted(self.folder.iterdir()) if each.is_dir()]
        return []

    def _keep(self, head: Head) -> None:
        """Keep a head in the registry; the chain may be ahead of it by what this misses."""
        try:
            self._registry().set_progress(self._heads_at + self.chain.name, vars(head))
        except SkewlessError as problem:
            logger.warning("the registry does not keep the head of the ledger: %s", problem)

"""Finding accesses: of an entity, by an actor; and proving that the record is whole.

found = Search(audit).who_read(["9a41..."])
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skewless.audit.audit import Audit
from skewless.audit.events import ACCESS, FEATURES
from skewless.audit.index import Term, growing_places, made_of, places
from skewless.clock import iso
from skewless.ledger.chain import Chain, last_seal
from skewless.ledger.ledger import LedgerReport
from skewless.ledger.lines import Record, parse_record
from skewless.ledger.verify import Damage

_Placed = tuple[Record, Chain, Path]
"""A record, and the chain and file it is in."""


@dataclass(frozen=True)
class Found:
    """An access that was found.

    Attributes:
        record: the id of its record.
        at: when, UTC microseconds.
        action: ``read online`` ...
        actor: who.
        purpose: as the caller said.
        features: references with versions.
        count: of entities, or rows.
        outcome: ``ok``, or what refused it.
        about: what else is on record, hashes of entities apart.
    """

    record: str
    at: int
    action: str
    actor: str
    purpose: str
    features: tuple[str, ...]
    count: int
    outcome: str
    about: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data, its time in ISO 8601."""
        return vars(self) | {"at": iso(self.at), "features": list(self.features)}


class Search:
    """Looks into the audit of a repo: what is sealed, of all hosts whose files are here.

    Args:
        audit: what is looked into; what waits in it is written first.
    """

    def __init__(self, audit: Audit) -> None:
        audit.write()
        self._audit = audit
        self._lists: dict[tuple[Path, str], tuple[str, ...]] = {}

    def who_read(
        self, subjects: Sequence[str], *, since: int | None = None, limit: int | None = None
    ) -> list[Found]:
        """Return the accesses to entities, newest first.

        Args:
            subjects: keyed hashes of the entities.
            since: from this moment on, UTC microseconds.
            limit: at most so many, the newest; None: all.
        """
        wanted = set(subjects)
        records = {
            placed[0].id: placed
            for subject in wanted
            for placed in self._naming(Term.of_subject(subject), since, limit)
            if wanted.intersection(placed[0].data.get("entities", ()))
        }
        return self._found(records.values(), limit, wanted)

    def what_did(
        self, actor: str, *, since: int | None = None, limit: int | None = None
    ) -> list[Found]:
        """Return what somebody did, newest first; see `who_read`."""
        records = [
            found
            for found in self._naming(Term.of_actor(actor), since, limit)
            if found[0].data.get("actor") == actor
        ]
        return self._found(records, limit)

    def verify(self, *, signed: bool = False, public_key: str = "") -> LedgerReport:
        """Return whether the audit is as it was written, indexes included.

        Args:
            signed: whether it is held against signed checkpoints too.
            public_key: who has to have signed them; empty: as the settings say.
        """
        report = self._audit.ledger.verify(signed=signed, public_key=public_key)
        for chain in self._audit.ledger.chains():
            for file in chain.files()[:-1]:
                index = file.with_suffix(".idx")
                if index.exists() and index.read_bytes() != made_of(file):
                    what = "its index is not what the file gives: remove it, it is made again"
                    report.faults.append(Damage(chain.name, index.name, 1, 0, what))
        return report

    def _naming(self, term: Term, since: int | None, limit: int | None) -> Iterator[_Placed]:
        """Yield the records that may name something, the newest file of each chain first."""
        for chain in self._audit.ledger.chains():
            count = 0
            for file in reversed(chain.files()):
                seal = last_seal(file)[0]
                past = since is not None and seal is not None and seal.at < since
                if past or (limit is not None and count >= limit):
                    break
                for record in _records(file, chain, self._starts(chain, file, term)):
                    if since is None or record.at >= since:
                        count += 1
                        yield record, chain, file

    @staticmethod
    def _starts(chain: Chain, file: Path, term: Term) -> Iterable[int]:
        """Return where lines begin that name something: by the index, or of a file that grows."""
        return growing_places(file, term) if file == chain.files()[-1] else places(file, term)

    def _found(
        self, records: Iterable[_Placed], limit: int | None, subjects: Set[str] = frozenset()
    ) -> list[Found]:
        found = [each for placed in records for each in self._told(*placed, subjects)]
        newest = lambda each: (each.at, int(each.record.rpartition(":")[2]))  # noqa: E731
        return sorted(found, key=newest, reverse=True)[:limit]

    def _told(
        self, record: Record, chain: Chain, file: Path, subjects: Set[str]
    ) -> Iterator[Found]:
        """Yield what a record says; of small reads in one, those of the entities looked for."""
        about = dict(record.data)
        entities, requests = about.pop("entities", ()), about.pop("requests", None)
        name, count, ago = (about.pop(key, "") for key in ("features", "count", "ago"))
        fields = {key: about.pop(key, "") for key in ("action", "actor", "purpose", "outcome")}
        fields["features"] = self._list(name, chain, file) if name else ()
        if requests is None or not subjects:
            last = min(ago) if isinstance(ago, list) else ago or 0
            at = record.at - last * 1000
            yield Found(record.id, at, count=count or 0, about=about, **fields)
            return
        for subject, request, before in zip(entities, requests, ago, strict=True):
            if subject in subjects:
                said = about | ({"request": request} if request else {})
                at = record.at - before * 1000
                yield Found(record.id, at, count=1, about=said, **fields)

    def _list(self, name: str, chain: Chain, file: Path) -> tuple[str, ...]:
        """Return the features of a list: of the file of its access, else of one before it."""
        if (file, name) not in self._lists:
            before = [each for each in reversed(chain.files()) if each <= file]
            found = (self._features(name, chain, each) for each in before)
            self._lists[file, name] = next(filter(None, found), (name,))
        return self._lists[file, name]

    def _features(self, name: str, chain: Chain, file: Path) -> tuple[str, ...]:
        starts = self._starts(chain, file, Term.of_list(name))
        for record in _records(file, chain, starts, FEATURES):
            if record.data.get("id") == name:
                return tuple(record.data["features"])
        return ()


def _records(
    file: Path, chain: Chain, starts: Iterable[int], kind: str = ACCESS
) -> Iterator[Record]:
    """Yield the records of a kind that begin at some places; damaged ones are left out."""
    with file.open("rb") as opened:
        for start in starts:
            opened.seek(start)
            record = parse_record(opened.readline(), chain.name)
            if record is not None and record.kind == kind:
                yield record

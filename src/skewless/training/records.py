"""Training sets in the ledger: what each was made of, and making it again.

    made = fs.get_historical_features(spine, "fraud_model", timestamp="at")
    fs.training_sets()[0].id == made.id
    fs.rebuild(made.id, spine).same

A record holds the hash of every column, the features with their versions, and how far the history
of each source went. The rows themselves are not kept: to make a set again needs its spine, or the
training set as a file, of which the spine's columns are taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skewless.access.actors import caller
from skewless.clock import iso
from skewless.definitions import FeatureService, Source
from skewless.errors import InputError, UnknownName
from skewless.ledger.ledger import Ledger
from skewless.online.runtime import Runtime
from skewless.plan.content import table_digests
from skewless.plan.results import TrainingSet, differing
from skewless.plan.retrieval import steps_by_source
from skewless.stores.offline.as_table import as_table
from skewless.training.frame_training_set import FrameTrainingSet
from skewless.training.training_set import training_set

KIND, LEAKAGE = "training_set", "leakage"
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class TrainingSetRecord:
    """What the ledger says of a training set.

    Attributes:
        id: see `TrainingSet.id`.
        at: when it was made, UTC microseconds.
        service: the feature service it is of; empty where features were named otherwise.
        features: column to feature, version included.
        timestamp: the spine's time column.
        as_of: ``known`` or ``event_time``.
        rows: of the spine.
        spine: where the spine lay, where it was a file; else empty.
        columns: column to the hash of its values, those of the spine first.
        sources: source to how far its history went: rows of the log, its generation (see
            `online.log_generations`), and the state of its table where that can be read again.
        views: view version to its fingerprint.
        revision: of the registry.
        full_names: whether features are called ``View__feature``.
        notes: what a reader was told.
        who: made it.
        leaks: whether a check of leakage found something; None: not checked.
    """

    id: str
    at: int
    service: str
    features: Mapping[str, str]
    timestamp: str
    as_of: str
    rows: int
    spine: str
    columns: Mapping[str, str]
    sources: Mapping[str, Mapping[str, Any]]
    views: Mapping[str, str]
    revision: int
    full_names: bool = False
    notes: tuple[str, ...] = ()
    who: str = ""
    leaks: bool | None = None

    @property
    def leakage(self) -> str:
        """What a check of leakage said: ``clean``, ``leaks`` or ``not checked``."""
        return "not checked" if self.leaks is None else "leaks" if self.leaks else "clean"

    @property
    def spine_columns(self) -> list[str]:
        """The columns that the spine has."""
        return [name for name in self.columns if name not in self.features]

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data, times in ISO 8601."""
        return vars(self) | {"at": iso(self.at), "leakage": self.leakage, "notes": list(self.notes)}


@dataclass(frozen=True)
class Rebuilt:
    """A training set that was made again, beside what the ledger says of the first one.

    Attributes:
        record: of the first one.
        training: the one made now.
        changed: the columns whose values are not what they were.
        values: for some of these how many values differ, where the first one was at hand.
        reasons: what has changed meanwhile that may be why.
    """

    record: TrainingSetRecord
    training: TrainingSet
    changed: tuple[str, ...]
    values: Mapping[str, int] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether it is the same to the last bit."""
        return not self.changed

    def to_dict(self) -> dict[str, Any]:
        """Return what was found as plain data."""
        return {
            "id": self.record.id, "rebuilt": self.training.id, "same": self.same,
            "rows": len(self.training), "changed": list(self.changed),
            "values": dict(self.values), "reasons": list(self.reasons),
        }  # fmt: skip

    def __str__(self) -> str:
        if self.same:
            return f"{self.record.id}: the same {len(self.training):,} rows, to the last bit"
        count = len(self.record.columns)
        lines = [f"{self.record.id}: {len(self.changed)} of {count} columns are not what they were"]
        for name in self.changed:
            many = f": {self.values[name]:,} values" if name in self.values else ""
            lines.append(f"  {name} ({self.record.features.get(name, 'of the spine')}){many}")
        return "\n".join([*lines, *(f"Since then: {reason}" for reason in self.reasons)])


def record_set(
    runtime: Runtime, made: TrainingSet, *, features: Any, spine: Any, full_names: bool
) -> None:
    """Put a training set into the ledger; not one whose rows stayed where an engine has them.

    Args:
        runtime: the open repo.
        made: the training set.
        features: what was asked for.
        spine: what it was made of.
        full_names: whether features are called ``View__feature``.
    """
    if isinstance(made, FrameTrainingSet):
        return  # its values would have to be brought here to be told apart
    state = runtime.state()
    name = features.name if isinstance(features, FeatureService) else features
    sources = {
        history: _log_reached(runtime, steps[0].source)
        for history, steps in steps_by_source(made.plan).items()
    }
    versions = [(need.view.name, need.version) for need in made.plan.selection.views]
    versions += [(need.view.name, need.version) for need in made.plan.selection.on_demand]
    data = {
        "id": made.id,
        "service": name if isinstance(name, str) and name in state.services else "",
        "features": {out.name: out.reference for out in made.plan.selection.outputs},
        "timestamp": made.plan.timestamp,
        "as_of": made.plan.as_of,
        "rows": len(made),
        "spine": str(Path(spine).absolute()) if isinstance(spine, (str, Path)) else "",
        "columns": made.digests,
        "sources": {name: {**at, "table": made.tables.get(name)} for name, at in sources.items()},
        "views": {f"{key[0]}@v{key[1]}": state.fingerprints[key] for key in versions},
        "revision": state.revision,
        "full_names": full_names,
        "notes": list(made.notes),
        "who": caller(),
    }  # fmt: skip
    runtime.ledger.record(KIND, data)


def training_sets(ledger: Ledger) -> list[TrainingSetRecord]:
    """Return the training sets that were made, newest first, one for each id."""
    return list(reversed(list(_records(ledger))))


def _records(ledger: Ledger) -> Iterator[TrainingSetRecord]:
    leaks: dict[str, bool] = {}
    made: dict[str, tuple[int, dict[str, Any]]] = {}
    for record in ledger.records(kinds=[KIND, LEAKAGE]):
        name = record.data["id"]
        if record.kind == LEAKAGE:
            leaks[name] = record.data["leaks"]
        else:
            made.pop(name, None)
            made[name] = record.at, record.data
    for name, (at, data) in made.items():
        said = data | {"notes": tuple(data["notes"])}
        yield TrainingSetRecord(at=at, leaks=leaks.get(name), **said)


def training_set_of(ledger: Ledger, name: str) -> TrainingSetRecord:
    """Return the record of a training set.

    Raises:
        UnknownName: the ledger has none of that id.
    """
    found = {record.id: record for record in _records(ledger)}
    if name not in found:
        raise UnknownName.of("training set", name, found, where="the ledger")
    return found[name]


def rebuild(
    runtime: Runtime, name: str, spine: Any = None, *, progress: Progress | None = None
) -> Rebuilt:
    """Make a training set again, and say whether it is the same; see `FeatureStore.rebuild`."""
    record = training_set_of(runtime.ledger, name)
    if spine is None and not record.spine:
        raise InputError(
            "the spine of this training set is not kept",
            got=name,
            hint="Give it, or the training set as a file: its spine's columns are taken.",
        )
    given = as_table(record.spine if spine is None else spine, where="the spine")
    missing = [column for column in record.spine_columns if column not in given.column_names]
    if missing:
        expected = ", ".join(record.spine_columns)
        raise InputError("not the spine", got=f"no column {missing[0]!r}", expected=expected)
    state = runtime.state(fresh=True)
    made = training_set(
        runtime,
        given.select(record.spine_columns),
        list(record.features.values()),
        timestamp=record.timestamp,
        as_of=record.as_of,
        full_names=record.full_names,
        progress=progress,
        tables={source: s["table"] for source, s in record.sources.items() if s["table"]} or None,
    )
    changed = tuple(n for n, digest in record.columns.items() if made.digests.get(n) != digest)
    values = {}
    if changed and len(made) == given.num_rows:
        before = table_digests(given.select([n for n in changed if n in given.column_names]))
        at_hand = [n for n, digest in before.items() if record.columns[n] == digest]
        values = {n: differing(given[n], made.to_arrow()[n]) for n in at_hand}
    reasons = tuple(_reasons(runtime, record, state.fingerprints, changed)) if changed else ()
    return Rebuilt(record, made, changed, values, reasons)


def _log_reached(runtime: Runtime, source: Source) -> dict[str, int]:
    """Return how far the history of a source goes, and which log of its name that is of."""
    number = runtime.log_generation(source.stored)
    return {"log": runtime.log(source).last_sequence(), "generation": number}


def _reasons(
    runtime: Runtime,
    record: TrainingSetRecord,
    fingerprints: Mapping[tuple[str, int], str],
    changed: tuple[str, ...],
) -> Iterator[str]:
    """Yield what has changed since a training set was made."""
    if other := [name for name in changed if name not in record.features]:
        yield f"the spine is another one: {', '.join(other)}"
    now = {f"{view}@v{number}": text for (view, number), text in fingerprints.items()}
    for view, fingerprint in record.views.items():
        if now.get(view) != fingerprint:
            yield f"{view} is not what it was"
    for history, reached in record.sources.items():
        source = runtime.source(history.partition("#")[0])
        yield from _log_reasons(source.name, reached, _log_reached(runtime, source))
        if not reached["table"] and source.table is not None:
            yield f"the table of {source.name} may have changed: it keeps no earlier states"


def _log_reasons(source: str, then: Mapping[str, Any], now: Mapping[str, int]) -> Iterator[str]:
    """Yield what has become of the log of a source; records of before do not say which it was."""
    generation = then.get("generation", None if now["generation"] else 0)
    more = now["log"] - then["log"]
    if generation is None:
        yield f"{source} was removed once, and the record does not say which log it had"
    elif generation != now["generation"]:
        yield f"{source} has another log: it was removed and defined again, or given its rows back"
    elif more > 0:
        yield f"{source} has {more:,} rows more; those that were known before count"
    elif more < 0:
        yield f"{source} has {-more:,} rows fewer: its log was restored from an older copy"

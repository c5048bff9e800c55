"""An experiment: keys are given one of two feature services, and what came of it is compared.

    trial = fs.experiment("new_velocity", control="fraud_v1", treatment="fraud_v2", by=card,
                          outcome="Chargebacks:lost_7d", after="7d")
    trial.read([{"card_id": "c1"}])        # [{"new_velocity": "control", "total": 9.0, ...}]
    print(trial.compare())                 # or: skewless experiment new_velocity

What it is stands in the ledger, with every look at its outcomes. Who was exposed, and since when,
is in files of ``.skewless/experiments``, a line for each key and process: the outcome of a key is a
feature of it, so long after its first exposure, as it was known then.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skewless.clock import Now, iso
from skewless.codec import read_back, to_json
from skewless.config import make_private
from skewless.definitions import Entity, FeatureService
from skewless.durations import format_duration, parse_duration
from skewless.errors import DefinitionError, InputError, UnknownName
from skewless.experiments.assignment import CONTROL, TREATMENT, assigned
from skewless.experiments.comparison import compare, mismatch
from skewless.experiments.report import ExperimentReport
from skewless.online.runtime import Runtime
from skewless.training.training_set import training_set
from skewless.types import DType, dtype_from_dict

BEGUN, STOPPED, LOOKED = "experiment", "experiment stopped", "experiment look"
FOLDER = "experiments"
_NAME = "letters, digits, - and _"


@dataclass(frozen=True)
class Design:
    """What an experiment is; it does not change.

    Attributes:
        name: of the experiment, and of the column that says the variant.
        control: the feature service that most keys have had.
        treatment: the other one.
        by: join keys and the types of their values: what is assigned.
        share: of the keys that are given the treatment.
        outcome: the feature that is compared, ``View:feature``; empty: said later.
        after: how long after a key's first exposure, microseconds.
    """

    name: str
    control: str
    treatment: str
    by: tuple[tuple[str, DType], ...]
    share: float = 0.5
    outcome: str = ""
    after: int = 0

    def __post_init__(self) -> None:
        if not self.name or not self.name.replace("-", "").replace("_", "").isalnum():
            raise DefinitionError("not a name of an experiment", got=self.name, expected=_NAME)
        if not 0 < self.share < 1:
            raise DefinitionError("not a share", got=self.share, expected="between 0 and 1")
        if self.control == self.treatment:
            raise DefinitionError("control and treatment are the same", got=self.control)

    def keys_of(self, entity: Mapping[str, Any]) -> dict[str, Any]:
        """Return the join keys that are assigned, in their canonical types.

        Raises:
            InputError: one is missing, or of another type.
        """
        found = {}
        for key, dtype in self.by:
            if entity.get(key) is None:
                raise InputError(f"experiment {self.name!r} is by {key!r}, which is not given")
            try:
                found[key] = dtype.coerce(entity[key])
            except ValueError as problem:
                where = f"experiment {self.name!r}"
                raise InputError(f"join key {key!r}: {problem}", where=where) from None
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the design as plain data."""
        return {**vars(self), "by": {key: dtype.to_dict() for key, dtype in self.by}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Design:
        """Return what `to_dict` gave."""
        by = tuple((key, dtype_from_dict(dtype)) for key, dtype in data["by"].items())
        return cls(**{**data, "by": by})


@dataclass(frozen=True)
class Exposure:
    """The first time that a key was given its variant, UTC microseconds."""

    keys: Mapping[str, Any]
    at: int
    variant: str


@dataclass
class Experiment:
    """An experiment of a repo, to be read and compared.

    Attributes:
        design: what it is.
        runtime: what the repo has open.
        stopped: when it ended, UTC microseconds: every key has the control since; None: it runs.
    """

    design: Design
    runtime: Runtime = field(repr=False)
    stopped: int | None = None
    _seen: set[str] = field(default_factory=set, repr=False)

    @property
    def services(self) -> dict[str, str]:
        """The feature service of each variant."""
        return {CONTROL: self.design.control, TREATMENT: self.design.treatment}

    def assign(self, entity: Mapping[str, Any]) -> str:
        """Return the variant of an entity: the same in every process, at every time.

        Raises:
            InputError: a join key is missing, or of another type.
        """
        keys = self.design.keys_of(entity)
        return CONTROL if self.stopped is not None else assigned(
            self.design.name, keys, self.design.share
        )  # fmt: skip

    def read(self, entities: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the vector of each entity, of its variant's service, and note who was exposed.

        Args:
            entities: join keys, and request fields of both services.

        Returns:
            A row each, the variant under the experiment's name; rows of two variants have the
            features of two services.

        Raises:
            MissingColumn, InputError: join keys are missing or wrong.
            StoreUnavailable: the store cannot be reached.
        """
        t = Now(self.runtime.clock.now())
        variants = [self.assign(entity) for entity in entities]
        rows: list[dict[str, Any]] = [{} for _ in entities]
        for variant, service in self.services.items():
            places = [n for n, each in enumerate(variants) if each == variant]
            if not places:
                continue
            lookup = self.runtime.reader.lookup(service, False)
            names = [output.name for output in lookup.selection.outputs]
            found = self.runtime.reader.read(lookup, [entities[n] for n in places], t)
            for place, values in zip(places, found[0], strict=True):
                rows[place] = {self.design.name: variant, **dict(zip(names, values, strict=True))}
        self.expose(entities, variants, int(t))
        return rows

    def expose(
        self, entities: Sequence[Mapping[str, Any]], variants: Sequence[str], at: int
    ) -> None:
        """Note which keys were given which variant; those this process has noted are not again."""
        if self.stopped is not None:
            return
        lines = []
        for entity, variant in zip(entities, variants, strict=True):
            keys = {name: to_json(v) for name, v in self.design.keys_of(entity).items()}
            text = json.dumps(keys, sort_keys=True)
            if text not in self._seen:
                self._seen.add(text)
                lines.append(json.dumps({"at": at, "keys": keys, "variant": variant}))
        if lines and not self.runtime.config.read_only:
            make_private(self.folder)
            with (self.folder / f"exposed-{os.getpid()}.jsonl").open("a") as file:
                file.write("\n".join(lines) + "\n")

    @property
    def folder(self) -> Path:
        """Where exposures are noted."""
        return self.runtime.config.folder / ".skewless" / FOLDER / self.design.name

    def exposures(self) -> list[Exposure]:
        """Return the first exposure of each key."""
        first: dict[str, Exposure] = {}
        for line in self._lines():
            text = json.dumps(line["keys"], sort_keys=True)
            if text not in first or line["at"] < first[text].at:
                keys = {key: read_back(line["keys"][key], dtype) for key, dtype in self.design.by}
                first[text] = Exposure(keys, line["at"], line["variant"])
        return list(first.values())

    def _lines(self) -> Iterator[dict[str, Any]]:
        for path in sorted(self.folder.glob("exposed-*.jsonl")):
            with path.open(encoding="utf-8") as file:
                for line in file:
                    if line.endswith("\n"):  # the last one of a process that was killed may be cut
                        yield json.loads(line)

    def stop(self) -> None:
        """End it: from now on every key is given the control, and nobody is exposed.

        Raises:
            StoreError: the ledger cannot be written.
        """
        if self.stopped is None:
            self.stopped = self.runtime.clock.now()
            self.runtime.ledger.append([(STOPPED, {"name": self.design.name})])

    def compare(
        self, outcome: str = "", after: str | int | None = None, *, confidence: float = 0.95
    ) -> ExperimentReport:
        """Compare an outcome of keys of both variants, so long after their first exposure.

        Args:
            outcome: a feature of the keys, ``View:feature``, a number or a condition; by default
                that of the design.
            after: how long after the first exposure, ``"7d"``; by default that of the design.
            confidence: of the intervals.

        Raises:
            InputError: no outcome is said, or it is no number.
            UnknownName: there is no such feature.
        """
        feature, name = outcome or self.design.outcome, self.design.name
        if not feature:
            raise InputError(
                f"experiment {name!r} has no outcome", hint="Say one: compare('View:feature', '7d')"
            )
        later = self.design.after if after is None else parse_duration(after, what="after")
        now, exposed = self.runtime.clock.now(), self.exposures()
        due = [each for each in exposed if each.at + later <= now]
        values = self._outcomes(feature, due, later)
        sizes = _sizes(exposed)
        compared = compare(
            values[CONTROL], values[TREATMENT], looks=self._look(feature), confidence=confidence
        )
        return ExperimentReport(
            name=name,
            outcome=feature,
            after=format_duration(later) if later else "0s",
            stopped=None if self.stopped is None else iso(self.stopped),
            exposed=sizes,
            waiting=len(exposed) - len(due),
            missing=len(due) - sum(compared.counts),
            mismatch=mismatch(sizes, self.design.share),
            compared=compared,
        )

    def _outcomes(
        self, feature: str, due: Sequence[Exposure], later: int
    ) -> dict[str, list[float]]:
        """Return the outcomes of each variant, as known when they were due; null ones are not."""
        found: dict[str, list[float]] = {CONTROL: [], TREATMENT: []}
        if not due:
            return found
        spine = [{**each.keys, "due_at": iso(each.at + later)} for each in due]
        table = training_set(
            self.runtime, spine, [feature], timestamp="due_at",
            as_of="known", full_names=False, progress=None,
        ).to_arrow()  # fmt: skip
        column = table[table.column_names[-1]].to_pylist()
        for each, value in zip(due, column, strict=True):
            if value is None:
                continue
            if not isinstance(value, (int, float)):
                raise InputError(f"the outcome {feature!r} is no number", got=repr(value))
            found[each.variant].append(float(value))
        return found

    def _look(self, feature: str) -> int:
        """Note a look at the outcome, and return which one it is."""
        ledger, about = self.runtime.ledger, {"name": self.design.name, "outcome": feature}
        before = sum(record.data == about for record in ledger.records(kinds=[LOOKED]))
        if not self.runtime.config.read_only:
            ledger.record(LOOKED, about)
        return before + 1


def _sizes(exposed: Sequence[Exposure]) -> tuple[int, int]:
    variants = [each.variant for each in exposed]
    return variants.count(CONTROL), variants.count(TREATMENT)


def begin(runtime: Runtime, design: Design) -> Experiment:
    """Begin an experiment, or return the one that runs under its name.

    Raises:
        DefinitionError: another one has the name, or a service lacks a key it is by.
        UnknownName: there is no such service.
        StoreError: the ledger cannot be written.
    """
    for service in (design.control, design.treatment):
        selection = runtime.reader.lookup(service, False).selection
        for key, _ in design.by:
            if key not in selection.join_keys:
                raise DefinitionError(
                    f"feature service {service!r} is not read by {key!r}",
                    got=f"experiment {design.name!r} by {key!r}",
                    expected=", ".join(selection.join_keys),
                )
        if design.name in [output.name for output in selection.outputs]:
            raise DefinitionError(f"{design.name!r} is a feature of service {service!r} too")
    known = _recorded(runtime).get(design.name)
    if known is None:
        runtime.ledger.append([(BEGUN, design.to_dict())])
        return Experiment(design, runtime)
    if known.design != design:
        raise DefinitionError(
            f"there was an experiment {design.name!r} that differs",
            got=str(design.to_dict()),
            expected=str(known.design.to_dict()),
            hint="Give this one a name of its own: keys are assigned by it.",
        )
    return known


def find(runtime: Runtime, name: str) -> Experiment:
    """Return an experiment that was begun.

    Raises:
        UnknownName: there is none of the name.
    """
    known = _recorded(runtime)
    if name not in known:
        raise UnknownName.of("experiment", name, known, where="the ledger")
    return known[name]


def _recorded(runtime: Runtime) -> dict[str, Experiment]:
    found: dict[str, Experiment] = {}
    for record in runtime.ledger.records(kinds=[BEGUN, STOPPED]):
        if record.kind == BEGUN:
            design = Design.from_dict(record.data)
            found.setdefault(design.name, Experiment(design, runtime))
        elif record.data["name"] in found:
            found[record.data["name"]].stopped = record.at
    return found


def designed(
    name: str,
    control: str | FeatureService,
    treatment: str | FeatureService,
    by: Entity,
    **options: Any,
) -> Design:
    """Return the design that the arguments of `FeatureStore.experiment` ask for."""
    after = options.pop("after", None)
    old, new = (each if isinstance(each, str) else each.name for each in (control, treatment))
    later = 0 if after is None else parse_duration(after, what="after")
    return Design(name, old, new, tuple(by.join_keys), after=later, **options)

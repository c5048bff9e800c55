"""Verbs of whoever runs a repo: fresh, right, tended, tried out. `FeatureStore` has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skewless.definitions.references import split_view
from skewless.durations import parse_duration
from skewless.errors import InputError, UnknownName
from skewless.lineage.process_reads import ProcessReads
from skewless.online.runtime import Runtime
from skewless.plan.arguments import any_name, checked_count, checked_text, name_of, names_of

if TYPE_CHECKING:
    from datetime import timedelta

    import pandas as pd

    from skewless.alerts.alerts import Alert, Silence
    from skewless.costs.cost import CostReport
    from skewless.definitions import Entity, FeatureService
    from skewless.drift.decay import DecayReport
    from skewless.drift.profile import Profile
    from skewless.drift.report import DriftReport
    from skewless.experiments.experiment import Experiment
    from skewless.monitoring.freshness import FreshnessReport
    from skewless.monitoring.statistics import ViewStatistics
    from skewless.quality.check import QualityReport
    from skewless.subjects.subject import SubjectReport
    from skewless.tend.tend import TendReport


class Operations:
    """What is asked of a repo from day to day.

    Attributes:
        runtime: the open repo.
        reads: what grants let this process read.
    """

    runtime: Runtime
    reads: ProcessReads

    def freshness(self) -> FreshnessReport:
        """Return for each view the age of its newest event against what its owner promised."""
        from skewless.monitoring.freshness import freshness

        return freshness(self.runtime)

    def check(
        self, names: str | Sequence[str] | None = None, *, served: str | Path | None = None
    ) -> QualityReport:
        """Carry out the checks of sources and views, and return what they found; it prints.

        Those of a source look at its whole history, those of a view at the values of all entities
        now, or at those that were served. What is found is kept in the ledger.

        Args:
            names: sources and views; None: all that have checks.
            served: instead, look at what was served: a served log, or the folder of it.

        Raises:
            UnknownName: no such source or view.
            InputError: not a served log.
        """
        from skewless.quality.check import check

        return check(self.runtime, names_of(names, "source or view"), served)

    def tend(self, *, everything: bool = False) -> TendReport:
        """Do what is due of everything periodic, once, and tell who has to know what is wrong.

        Args:
            everything: whether all of it is done, due or not.

        Raises:
            Conflict: another pass is at work, here or on another machine.
        """
        from skewless.tend.tend import tend

        return tend(self.runtime, everything=everything)

    def subject(self, key: Mapping[str, Any], entity: str | None = None) -> SubjectReport:
        """Return all that is held of an entity: rows, values, answers, training sets, accesses.

        Args:
            key: its join keys.
            entity: its name; None: the one that has these join keys.

        Raises:
            UnknownName: no such entity, or none with these join keys.
        """
        from skewless.subjects.subject import entity_of, subject

        name = entity_of(self.runtime.state(fresh=True), key) if entity is None else entity
        self.reads.everything("subject")
        report = subject(self.runtime, self.reads.verbs.audit, key, name)
        self.reads.verbs.named("subject", self.runtime.state().entities[name], report.key)
        return report

    def statistics(self, view: str) -> ViewStatistics:
        """Return counts, nulls, range and quantiles of each feature of a view, from history."""
        from skewless.monitoring.statistics import statistics

        self.reads.everything("statistics")
        return statistics(self.runtime, name_of(view, "view"))

    def profile(
        self, views: str | Sequence[str] | None = None, *, served: str | Path | None = None
    ) -> list[Profile]:
        """Take profiles of features, keep them in the ledger, and return them.

        Args:
            views: names; None for all.
            served: instead of all entities online, those that were served in the last day: a
                served log, or the folder of it.

        Raises:
            UnknownName: no such view.
            InputError: not a served log.
        """
        from skewless.drift.drift import profile

        return profile(self.runtime, names_of(views, "view"), served=served)

    def drift(
        self, name: Any = None, *, reference: str | None = None, point: str | None = None
    ) -> DriftReport:
        """Compare how features are distributed with how they were; it prints, and is kept.

        Args:
            name: a view, a feature service or a feature; None: every view.
            reference: ``training``, ``training:ID``, ``trailing``, ``weekday`` or
                ``day:2026-01-31``; None: what was accepted, else a training set, else the days
                before.
            point: ``served`` or ``online``; None: what was served, or all entities where too little
                was.

        Raises:
            UnknownName: no such view, service or feature.
            InputError: no such reference.
        """
        from skewless.drift.drift import drift

        name = None if name is None else any_name(name)
        return drift(self.runtime, name, reference=reference, point=point)

    def decay(
        self,
        service: Any,
        *,
        prediction: str,
        label: str,
        on: Sequence[str] | None = None,
        within: str | timedelta = "30d",
        every: str | timedelta = "7d",
        otherwise: float | None = None,
    ) -> DecayReport:
        """Join delayed labels to logged predictions, and say how good these were in each period.

        Args:
            service: the feature service of the model.
            prediction: ``source.column`` of the predictions, logged as rows of a source.
            label: ``source.column`` of the labels: flags or two numbers (AUC), or numbers (RMSE).
            on: columns that both have and that say which label is whose; None: all that both have.
            within: how long after a prediction its label may happen.
            every: length of a period.
            otherwise: the label of predictions that got none within that time; None: they have
                none.

        Raises:
            UnknownName: no such service, source or column.
            InputError: the two sources share no column.
        """
        from skewless.drift.decay import decay

        service = name_of(service, "feature service")
        spans = {"within": within, "every": every}
        given = {name: parse_duration(span, what=f"a {name}") for name, span in spans.items()}
        return decay(
            self.runtime, service, prediction=prediction, label=label, on=on,
            otherwise=otherwise, **given,
        )  # fmt: skip

    def drift_frames(
        self,
        service: Any,
        reference: Any,
        *,
        served: str | Path | None = None,
        every_read: bool = False,
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return reference and current as pandas frames, as Evidently and NannyML take them.

        Args:
            service: the feature service.
            reference: a training set of it, or the file it was written to.
            served: a served log, or the folder of it; None: that of this repo.
            every_read: whether the current frame has every answer, not the last of each entity.

        Raises:
            UnknownName: no such service.
            MissingColumn: the reference lacks a feature.
            InputError: there is no served log.
        """
        from skewless.drift.frames import frames

        service = name_of(service, "feature service")
        return frames(self.runtime, service, reference, served=served, every_read=every_read)

    def accept_reference(self, name: Any, reference: str, *, who: str, why: str = "") -> None:
        """Compare a view or feature service with another reference from now on.

        Args:
            name: of the view or feature service.
            reference: see `drift`.
            who: accepts it: it stands in the ledger.
            why: for people.

        Raises:
            UnknownName: no such view or service.
            InputError: no such reference.
            StoreError: the ledger cannot be written.
        """
        from skewless.drift.references import accept

        name, state = any_name(name), self.runtime.state(fresh=True)
        if name not in state.services and split_view(name)[0] not in state.current:
            known = [*state.current, *state.services]
            raise UnknownName.of("view or feature service", name, known, where=state.place)
        accept(self.runtime.ledger, name, reference, who=checked_text(who, "a name"), why=why)

    def experiment(
        self,
        name: str,
        control: str | FeatureService | None = None,
        treatment: str | FeatureService | None = None,
        *,
        by: Entity | None = None,
        **options: Any,
    ) -> Experiment:
        """Begin an experiment over two feature services, or return the one of that name.

        Args:
            name: of the experiment; keys are assigned by it.
            control: the feature service that keys have had; None: the experiment was begun.
            treatment: the one that is tried.
            by: whose join keys are assigned.
            options: ``share`` of the treatment (0.5); ``outcome``, the feature that is compared,
                and how long ``after`` a key's first exposure (``"7d"``).

        Raises:
            UnknownName: no such service, or no experiment of the name was begun.
            DefinitionError: the name is taken, or a service is not read by these keys.
        """
        from skewless.experiments.experiment import begin, designed, find

        name = checked_text(name, "the name of an experiment")
        if control is None and treatment is None and by is None and not options:
            return find(self.runtime, name)
        if control is None or treatment is None or by is None:
            raise InputError("an experiment has a control, a treatment and keys", got=name)
        return begin(self.runtime, designed(name, control, treatment, by, **options))

    def alerts(self) -> list[Alert]:
        """Return the alerts that are open, pages first: what, since when, who looks after it.

        `tend` opens and ends them, and tells the receivers of ``[alerts]`` in ``skewless.toml``.
        """
        from skewless.alerts.alerts import open_alerts

        return open_alerts(self.runtime)

    def silence(
        self, of: str, length: str | timedelta = "2h", *, who: str, why: str = ""
    ) -> Silence:
        """Let nothing be told of some alerts for a while; they open and end as ever.

        Args:
            of: a view, or ``view/rule``; patterns such as ``*/drift``.
            length: how long; ``"0s"`` ends a silence.
            who: says so: it stands in the ledger.
            why: for people.

        Raises:
            InputError: nobody's name.
            StoreError: the ledger cannot be written.
        """
        from skewless.alerts.alerts import silence

        span = parse_duration(length, what="a silence")
        of, who = checked_text(of, "a pattern"), checked_text(who, "a name")
        return silence(self.runtime, of, length=span, who=who, why=why)

    def acknowledge(self, key: str, *, who: str, why: str = "") -> Alert:
        """Say that somebody looks after an alert: it is not told again until it becomes worse.

        Args:
            key: ``view/rule``, as `alerts` names it.
            who: looks after it: it stands in the ledger.
            why: for people.

        Raises:
            UnknownName: no such alert is open.
            InputError: nobody's name.
            StoreError: the ledger cannot be written.
        """
        from skewless.alerts.alerts import acknowledge

        key, who = checked_text(key, "an alert"), checked_text(who, "a name")
        return acknowledge(self.runtime, key, who=who, why=why)

    def test_alerts(self) -> dict[str, str]:
        """Send a test to each receiver of ``[alerts]``; return what went wrong, empty where none.

        Raises:
            ConfigError: ``[alerts]`` is wrong.
            StoreError: the ledger cannot be written.
        """
        from skewless.alerts.routing import try_out

        return try_out(self.runtime)

    def cost(self, *, days: int = 60, equal: bool = False) -> CostReport:
        """Return what features cost, which nobody uses, and which there are twice; it prints.

        Args:
            days: that are looked back for reads and uses.
            equal: whether features are looked for whose values are the same, which takes a while.

        Raises:
            ConfigError: ``[prices]`` is wrong.
            StoreUnavailable: the online store cannot be reached.
        """
        from skewless.costs.cost import cost

        return cost(self.runtime, days=checked_count(days, "a number of days"), equal=equal)

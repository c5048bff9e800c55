"""The feature store: verbs that hand plans to engines, stores and jobs.

fs = FeatureStore("repo/")
fs.apply(fs.plan())
fs.push("wafer_tests", rows)
fs.get_online_features("yield_model", [{"fab_id": "f1"}]).to_dict()
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from skewless.audit.audit import Audit
from skewless.clock import Clock, Now, to_micros
from skewless.config import Config
from skewless.errors import DefinitionError, InputError, RowsRefused
from skewless.forks import cached_property
from skewless.lineage.process_reads import ProcessReads
from skewless.online.runtime import Runtime
from skewless.operations import Operations
from skewless.plan.apply.diff import ApplyPlan, diff
from skewless.plan.apply.renames import renamed
from skewless.plan.arguments import (
    any_name,
    check_features,
    check_tables,
    checked_count,
    checked_entities,
    checked_entity,
    checked_ids,
    checked_served,
    checked_text,
    name_of,
    names_of,
    reference_of,
)
from skewless.plan.results import OnlineResult, TrainingSet
from skewless.plan.selection import Features, select
from skewless.plugins import reading

if TYPE_CHECKING:
    import pyarrow as pa

    from skewless.checks.lint import LintRules
    from skewless.definitions import Entity, FeatureService, Source
    from skewless.engines.base import Engine
    from skewless.explain.explain import Explanation
    from skewless.ingest.push import PushResult
    from skewless.ingest.quarantine import Quarantined
    from skewless.leakage.receipt import LeakageReceipt
    from skewless.ledger.runs import Run
    from skewless.lineage.emit import Emitter
    from skewless.lineage.graph import Lineage, LineageReader
    from skewless.materialize.materialize import MaterializeResult
    from skewless.monitoring.catalog import CatalogEntry
    from skewless.monitoring.recommend import Recommendations
    from skewless.online.log_generations import KeptLog
    from skewless.parity.report import ParityReport
    from skewless.plan.apply.registry_state import View
    from skewless.replay.report import Replay
    from skewless.stores.online.base import OnlineStore
    from skewless.training.backtest import BacktestReport
    from skewless.training.records import Rebuilt, TrainingSetRecord
    from skewless.training.usage import Usage

logger = logging.getLogger("skewless.states")
Moment = datetime | str | int
"""A datetime with a time zone, ISO 8601 text with an offset, or UTC microseconds."""
Progress = Callable[[str, float], None]


NO_FILES = (
    "there are no files of definitions in the repo, so nothing is removed: what is registered was"
    " applied from Python. plan(removing=True) removes it."
)


class FeatureStore(Operations):
    """A feature store over one repo.

    Args:
        repo: the repo's folder (or its ``skewless.toml``), or settings already read. Without a
            ``skewless.toml`` everything is embedded below ``.skewless/``.
        clock: tells the present; tests set their own.
        online: an online store that is already open, instead of the one the settings name.

    Example:
        >>> import tempfile, skewless as sl
        >>> card = sl.Entity("card", card_id=str)
        >>> pays = sl.Source("pays", schema={"card_id": str, "amount": float}, event_time="at")
        >>> @sl.feature_view(entity=card, source=pays)
        ... class Spend:
        ...     total = pays.amount.sum("1h")
        >>> fs = sl.FeatureStore(tempfile.mkdtemp())
        >>> _ = fs.apply(fs.plan(Spend))
        >>> row = {"card_id": "c1", "amount": 2.5, "at": "2026-01-01T10:00:00Z"}
        >>> fs.push("pays", [row, row], backdate=True).accepted
        2
        >>> fs.get_online_features(["Spend:total"], [{"card_id": "c1"}]).to_dict()
        {'card_id': ['c1'], 'total': [0.0]}
    """

    def __init__(
        self,
        repo: str | Path | Config = ".",
        *,
        clock: Clock | None = None,
        online: OnlineStore | None = None,
    ) -> None:
        if (file := reading.get()) is not None:
            raise DefinitionError(
                f"{file.name} opens a feature store while its definitions are read",
                hint="Put what uses the store below: if __name__ == '__main__':",
            )
        config = repo if isinstance(repo, Config) else Config.read(repo)
        self.runtime = Runtime(config, clock, online)
        self.runtime.repair = self._repair
        self.runtime.derive = self._derive
        self.audit = Audit.of(
            config,
            lambda: self.runtime.ledger,
            lambda: self.runtime.registry,
            self.runtime.clock,
        )
        self.runtime.at_close.append(self.audit.close)
        self.reads = ProcessReads(self.runtime, self.audit)
        self._emitter: Emitter | None = None
        if config.lineage is not None:
            from skewless.lineage.emit import emitter

            self._emitter = emitter(config, partial(self.runtime.state, fresh=True))
            self.runtime.ledger.listeners.append(self._emitter)

    @property
    def config(self) -> Config:
        """The settings."""
        return self.runtime.config

    def plan(
        self, *definitions: Any, repin: Iterable[str] | bool = (), removing: bool | None = None
    ) -> ApplyPlan:
        """Return what applying definitions would change.

        Args:
            definitions: views, services, sources, entities or modules; none: the repo's files.
            repin: feature services to move to the newest versions of their views; True for all.
            removing: whether definitions that are no longer there are removed; by default only
                when the whole repo is planned, and there are files of definitions in it.

        Raises:
            DefinitionError: a definition is wrong.
        """
        wanted = self.runtime.wanted(*definitions)
        whole = not definitions if removing is None else removing
        no_files = whole and removing is None and not self.runtime.has_files()
        pins = repin if isinstance(repin, bool) else names_of(repin, "feature service") or ()
        state, now = self.runtime.registry.state(), self.runtime.clock.now()
        plan = diff(state, wanted, removing=whole and not no_files, repin=pins, now=now)
        state = renamed(state, plan.renames)
        if plan.grants_matter(state):
            from skewless.lineage.services import check_services

            check_services(state, plan)
        if no_files and state.records:
            plan = replace(plan, notes=(*plan.notes, NO_FILES))
        if (rules := self._lint) is not None:
            plan = replace(plan, lint=rules.findings(wanted))
        if any(step.action in ("changed values", "removed") for step in plan.changed):
            from skewless.lineage.impact import impact_notes

            made = impact_notes(state, self._lineage.graph(state), plan)
            plan = replace(plan, notes=(*plan.notes, *made))
        if any(step.kind == "feature view" for step in plan.changed):
            from skewless.costs.duplicates import duplicate_notes

            twice = duplicate_notes(state, plan, wanted.views)
            plan = replace(plan, notes=(*plan.notes, *twice))
        if not plan.removals:
            return plan
        from skewless.online.in_use import with_use

        return with_use(self.runtime, plan, state)

    def apply(
        self,
        plan: ApplyPlan | Any,
        *,
        who: str = "",
        allow_breaking: bool = False,
        lint: bool | None = None,
        build: bool | None = None,
        progress: Progress | None = None,
    ) -> ApplyPlan:
        """Carry out a plan (or plan and apply definitions) and return it.

        What it adds or changes is `building` online until it is built from all of history. Reads
        and pushes go on meanwhile; after a kill `materialize` goes on where it stopped.

        Args:
            plan: what `plan` returned, or a definition or several.
            who: makes the change; by default user@host.
            allow_breaking: whether what is in use may break.
            lint: whether what is added or changed has to keep to the rules of ``[lint]``; by
                default as ``enforce`` says there.
            build: whether to build now; by default where the online store is embedded and the
                history is not large. Else `materialize` does it.
            progress: called with a text and the finished fraction.

        Raises:
            ConcurrentApply: somebody applied since the plan was made.
            BreakingChange: something would break and ``allow_breaking`` is not given.
            RulesBroken: a rule of ``[lint]`` that is enforced is not kept.
        """
        from skewless.materialize.build import build_pending
        from skewless.online.apply import apply_plan

        if not isinstance(plan, ApplyPlan):
            plan = self.plan(*plan) if isinstance(plan, (list, tuple)) else self.plan(plan)
        if lint or (lint is None and self._lint is not None and self._lint.enforce):
            plan.check_lint()
        apply_plan(self.runtime, plan, who=who, allow_breaking=allow_breaking)
        if build or (build is None and plan.changed):
            built = build_pending(self.runtime, build, progress=progress)
            if built.waiting:
                logger.warning("%s", built)
        return plan

    @cached_property
    def _lint(self) -> LintRules | None:
        from skewless.checks.lint import LintRules

        config = self.config
        where = f"[lint] of {config.file or config.folder}"
        return None if config.lint is None else LintRules.of(config.lint, where)

    def push(self, source: str | Source, rows: Any, *, backdate: bool = False) -> PushResult:
        """Hand rows of a source to the store: durable and readable online when it returns.

        Args:
            source: its name, or itself.
            rows: dicts, or an Arrow, Polars or pandas table.
            backdate: whether these are old rows: known time = event time + delay, not now.

        Returns:
            How many rows came in, were corrections or duplicates, and which are quarantined.

        Raises:
            UnknownName: no such source.
            MissingColumn, InputError: the rows as a whole do not fit the source.
            RowsRefused: there were rows, and every one of them is quarantined.
        """
        from skewless.ingest.push import push

        source = name_of(source, "source")
        with self.reads.verbs.writing("push", source) as done:
            result = push(self.runtime, source, rows, backdate=backdate)
            done(result.accepted)
        if result.quarantined and not (result.accepted or result.duplicates):
            raise RowsRefused.of(source, result)
        return result

    def delete(self, source: str, row_ids: Sequence[Any]) -> PushResult:
        """Delete rows of a source by row id: from now on they do not count."""
        from skewless.ingest.deletion import delete

        source, row_ids = name_of(source, "source"), checked_ids(row_ids)
        with self.reads.verbs.writing("delete", source) as done:
            result = delete(self.runtime, source, row_ids)
            done(len(row_ids))
        return result

    def quarantine(self, source: str, limit: int = 100, *, after: str = "") -> list[Quarantined]:
        """Return quarantined rows of a source with their reasons, the newest first.

        Args:
            source: its name.
            limit: at most so many; a page costs what it holds.
            after: the ``id`` of a row, to go on behind it.

        Raises:
            UnknownName: no such source.
            InputError: ``after`` is no id.
        """
        from skewless.ingest.quarantine import quarantined

        source, limit = name_of(source, "source"), checked_count(limit, "a limit")
        return quarantined(self.runtime, source, limit, checked_text(after, "an id"))

    def purge_quarantine(self, source: str, *, before: Moment | None = None) -> int:
        """Let the quarantined rows of a source go for good; return how many.

        Args:
            source: its name.
            before: only those that were set aside before this moment; None: all.

        Raises:
            UnknownName: no such source.
        """
        from skewless.ingest.quarantine import purge

        return purge(self.runtime, name_of(source, "source"), _moment(before))

    def materialize(
        self,
        views: str | Sequence[str] | None = None,
        *,
        start: Moment | None = None,
        end: Moment | None = None,
        progress: Progress | None = None,
        engine: Engine | str | None = None,
    ) -> list[MaterializeResult]:
        """Bring the online store up to date from history. Reads go on; running twice is harmless.

        Args:
            views: names; None for all.
            start: look for changes only among rows from here on.
            end: look for changes only among rows before here. What has changed is brought up to
                date with everything known, rows outside of the interval included.
            progress: called with a text and the finished fraction.
            engine: what builds tables that are built from all of history: a kind, or an `Engine`;
                by default that of ``[engine]`` in ``skewless.toml``.

        Raises:
            UnknownName: no such view, or no such engine.
        """
        from skewless.materialize.verbs import materialize

        views = names_of(views, "view")
        first, last = _moment(start), _moment(end)
        chosen = self.runtime.engines.get(engine)
        return materialize(self.runtime, views, first, last, progress=progress, engine=chosen)

    def backfill(
        self,
        views: str | Sequence[str] | None = None,
        *,
        start: Moment | None = None,
        end: Moment | None = None,
        progress: Progress | None = None,
    ) -> list[MaterializeResult]:
        """Rebuild states from history, rows that came too late (``lateness``) included."""
        from skewless.materialize.verbs import backfill

        views = names_of(views, "view")
        return backfill(self.runtime, views, _moment(start), _moment(end), progress=progress)

    def compact(self, source: str | None = None) -> dict[str, int]:
        """Settle the event logs into Parquet; return the number of rows settled by source."""
        from skewless.materialize.verbs import compact

        return compact(self.runtime, None if source is None else name_of(source, "source"))

    def kept_rows(self) -> list[KeptLog]:
        """Return the rows that are kept of sources that were removed: name and how many.

        A source that is defined again under the name begins without them.
        """
        from skewless.online.log_generations import kept_logs

        return kept_logs(self.runtime.journal)

    def drop_rows(self, source: str) -> int:
        """Drop the rows that are kept of a removed source for good; return how many.

        Raises:
            UnknownName: none are kept of a source of this name.
        """
        from skewless.materialize.kept_rows import drop_rows

        return drop_rows(self.runtime, name_of(source, "source"))

    def restore_rows(self, source: str) -> int:
        """Give a source the rows of the one of its name that was removed; return how many.

        Raises:
            UnknownName: no such source, or no rows are kept of one of this name.
            InputError: the source has rows of its own by now.
        """
        from skewless.materialize.kept_rows import restore_rows

        return restore_rows(self.runtime, name_of(source, "source"))

    def _repair(self, tables: Sequence[str]) -> None:
        """Bring some tables up to date, and rebuild their marked states."""
        from skewless.materialize.repair import repair

        repair(self.runtime, tables)

    def _derive(self, source: Source) -> None:
        """Bring a derived source up to date with the rows it is made of."""
        from skewless.ingest.catch_up import catch_up

        catch_up(self.runtime, source)

    def get_online_features(
        self,
        features: Features,
        entities: Any,
        *,
        at: Moment | None = None,
        full_names: bool = False,
    ) -> OnlineResult:
        """Return feature vectors from the online store.

        Args:
            features: a feature service or its name, a view, references, or a list of these.
            entities: join keys (and request fields): a dict per entity, one dict, a dict of
                columns, or a frame.
            at: the moment, at most ``rewind`` in the past; by default now.
            full_names: whether features are called ``View__feature``.

        Raises:
            UnknownName: a feature that does not exist.
            MissingColumn, InputError: join keys are missing or wrong.
            StoreUnavailable: the store cannot be reached; values are never made up.
        """
        entities, reader = checked_entities(entities), self.runtime.reader
        lookup = reader.lookup(features, full_names)
        masks = self.reads.of(lookup.selection.outputs, "get_online_features")
        t = Now(self.runtime.clock.now()) if at is None else to_micros(at, where="at")
        found = reader.read(lookup, entities, t)
        found = found if masks is None else masks(found)
        self.reads.verbs.read(lookup, entities)
        return OnlineResult(lookup.selection.outputs, entities, found, t)

    def get_historical_features(
        self,
        spine: Any,
        features: Features,
        *,
        timestamp: str,
        as_of: str = "known",
        full_names: bool = False,
        progress: Progress | None = None,
        tables: Mapping[str, Any] | None = None,
        engine: Engine | str | None = None,
    ) -> TrainingSet:
        """Return a training set: the spine's rows, in order, with point-in-time correct features.

        Args:
            spine: join keys, a timestamp and whatever else; dicts, Arrow, Polars, pandas, a path
                to a Parquet file.
            features: a feature service or its name, a view, references, or a list of these.
            timestamp: the spine's time column.
            as_of: ``known`` counts what was known at the time, ``event_time`` ignores known time.
            full_names: whether features are called ``View__feature``.
            progress: called with a text and the finished fraction.
            tables: source to the state its table is read in: a moment, or `TrainingSet.tables`.
            engine: what computes it: a kind, such as ``"local"``, or an `Engine`; by default that
                of ``[engine]`` in ``skewless.toml``.

        Raises:
            MissingColumn, NaiveTime, InputError: the spine is wrong.
            UnknownName: a feature that does not exist.
            CheckFailed: a check of a feature, whose action is ``block``, does not hold.
        """
        from skewless.training.checked import features_checked
        from skewless.training.records import record_set
        from skewless.training.training_set import training_set

        check_features(features)
        checked_text(as_of, "an as_of")
        check_tables(tables)
        checked_text(timestamp, "the name of a time column")
        self.reads.of_features(features, full_names, "get_historical_features")
        made = training_set(
            self.runtime,
            spine,
            features,
            timestamp=timestamp,
            as_of=as_of,
            full_names=full_names,
            progress=progress,
            tables=tables,
            engine=engine,
        )
        made.notes += features_checked(self.runtime.ledger, made)
        shown = self.reads.training(made, "get_historical_features")
        record_set(self.runtime, shown, features=features, spine=spine, full_names=full_names)
        named = features if isinstance(features, str) else getattr(features, "name", "")
        if shown is made and named in self.runtime.state().services:
            from skewless.drift.training import keep_training

            keep_training(self.runtime, made)
        return shown

    def training_sets(self) -> list[TrainingSetRecord]:
        """Return what the ledger says of the training sets that were made, newest first."""
        from skewless.training.records import training_sets

        return training_sets(self.runtime.ledger)

    def rebuild(
        self, training_set: str, spine: Any = None, *, progress: Progress | None = None
    ) -> Rebuilt:
        """Make a training set again, from its features in the versions it had.

        Args:
            training_set: its `TrainingSet.id`.
            spine: its spine, or the training set itself, as rows or the path of a Parquet file;
                None: the file that it was made from.
            progress: called with a text and the finished fraction.

        Returns:
            The set, whether it is the same to the last bit, and if not what has changed.

        Raises:
            UnknownName: the ledger has no such training set, or a version was retired.
            InputError: the spine is not kept, or it lacks a column.
        """
        from skewless.training.records import rebuild

        self.reads.everything("rebuild")
        return rebuild(self.runtime, training_set, spine, progress=progress)

    def read_features(
        self,
        view: str,
        *,
        entities: Sequence[Mapping[str, Any]] | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
    ) -> pa.Table:
        """Return every change of a view's values over a range of time, without a spine.

        Args:
            view: its name, or ``View@v2``.
            entities: join keys; None for all entities.
            start: changes from here on; None for the first.
            end: changes before here; None for now.
        """
        from skewless.training.value_changes import features_of, value_changes

        view = name_of(view, "view")
        entities = None if entities is None else checked_entities(entities)
        self.reads.as_they_are(features_of(self.runtime, view), entities, "read_features")
        return value_changes(self.runtime, view, entities, _moment(start), _moment(end))

    def explain(
        self, feature: str, entity: Mapping[str, Any], *, at: Moment | None = None
    ) -> Explanation:
        """Return the rows behind a value: which counted, which did not and why, and the value."""
        from skewless.explain.explain import explain

        feature, entity = reference_of(feature), checked_entity(entity)
        self.reads.everything("explain", [feature], [entity])
        return explain(self.runtime, feature, entity, _moment(at))

    def leakage(
        self,
        training: Any,
        *,
        timestamp: str,
        label: str | None = None,
        times: Mapping[str, str] | None = None,
        known: Mapping[str, str] | None = None,
    ) -> LeakageReceipt:
        """Return what in a training set comes from after its label's time.

        Args:
            training: a `TrainingSet`, or any frame with timestamps.
            timestamp: the column that says when the prediction is made.
            label: the column that is predicted.
            times: for columns of a plain frame: the column with the event time of each.
            known: likewise, the column with the time it was known.
        """
        from skewless.leakage.receipt import receipt

        for column in (timestamp,) if label is None else (timestamp, label):
            checked_text(column, "the name of a column")
        return receipt(
            self.runtime, training, timestamp=timestamp, label=label, times=times, known=known
        )

    def replay(
        self,
        request: str = "",
        *,
        entity: Mapping[str, Any] | None = None,
        at: Moment | None = None,
        features: Features | None = None,
        served: str | Path | None = None,
    ) -> Replay:
        """Return what was served for a request, what history gives, and why they differ.

        Args:
            request: the id that the answer carried (``x-request-id``); or, in place of it:
            entity: join keys, and request fields, as the served log has them.
            at: its newest answer at or before this moment; None: the newest.
            features: what is computed where the served log has no answer for the entity.
            served: a served log, or its folder; None: ``.skewless/served`` of the repo.

        Raises:
            UnknownName: the served log has no such request.
            InputError: there is no served log, or no answer for the entity and no features.
        """
        from skewless.replay.replay import replay

        self.reads.everything("replay")
        if bool(request) == (entity is not None):
            raise InputError("a replay is of a request, or of an entity", expected="one of them")
        folder = self.config.folder / ".skewless" / "served" if served is None else Path(served)
        names: list[str] | None = None
        if features is not None:
            outputs = select(self.runtime.state(fresh=True), features, full_names=True).outputs
            names = [output.reference for output in outputs]
        asked = None if entity is None else checked_entity(entity)
        about: Any = {"request": checked_text(request, "a request id"), "entity": asked}
        return replay(self.runtime, folder, at=_moment(at), features=names, **about)

    def backtest(self, spine: Any, features: Features, **options: Any) -> BacktestReport:
        """Train one model on naive, event-time and as-known features and compare on a holdout."""
        from skewless.training.backtest import backtest

        check_features(features)
        self.reads.everything("backtest")
        report = backtest(self.runtime, spine, features, **options)
        self.runtime.ledger.record("backtest", report.to_dict())
        return report

    def verify(
        self,
        views: str | Sequence[str] | None = None,
        *,
        served: str | Path | Iterable[OnlineResult] | None = None,
        entities: int = 1000,
        generate: int | None = None,
        seed: int | None = None,
        progress: Progress | None = None,
    ) -> ParityReport:
        """Compare, bit for bit, what the online path serves with what history gives.

        Args:
            views: names; None for all that are served.
            served: what was served: a served log, or results of `get_online_features`; None: what
                is served now.
            entities: how many of each view to read now.
            generate: instead, compare so many values of generated traffic, in a store of its own.
            seed: of what is chosen or generated; None: by chance.
            progress: called with a text and the finished fraction.

        Raises:
            UnknownName: no such view.
            InputError: not a served log.
        """
        from skewless.parity.verify import generated, verify

        seed = None if seed is None else checked_count(seed, "a seed")
        if generate is None:
            self.reads.everything("verify")
            views, entities = names_of(views, "view"), checked_count(entities, "a count")
            served = checked_served(served)
            return verify(self.runtime, views, served=served, entities=entities, seed=seed)
        from skewless.plugins import find

        run_scenarios: Any = find("traffic", "generated")
        checked_count(generate, "a number of values")
        report, seed, check = generated(seed)
        report.traffic = run_scenarios(generate, seed=seed, check=check, progress=progress)
        return report

    def runs(self, job: str | None = None, *, since: Moment | None = None) -> list[Run]:
        """Return what jobs have run, newest first: by whom, what they were asked, how they ended.

        Args:
            job: of this job alone (``materialize``, ``compact``, ``apply`` ...); None: of all.
            since: those that began here or later.
        """
        from skewless.ledger.runs import runs

        return runs(self.runtime.ledger, job=job, since=_moment(since))

    @cached_property
    def usage(self) -> Usage:
        """In how many training sets features are."""
        from skewless.training.usage import Usage

        return Usage(self.runtime.ledger)

    @cached_property
    def _lineage(self) -> LineageReader:
        from skewless.lineage.graph import LineageReader

        return LineageReader(self.runtime.ledger)

    def lineage(self, name: str, *, up: int = 2, down: int = 2) -> Lineage:
        """Return what something comes from, column by column, and what is made of it.

        Args:
            name: ``pays.amount``, a source, ``Spend:total``, a view, a feature service, the id of
                a training set or a model.
            up: how many steps towards the columns.
            down: how many steps towards the models.

        Raises:
            UnknownName: there is nothing of the name.

        >>> fs.lineage("Spend:total", down=0).of_kind("column")  # doctest: +SKIP
        ['pays.amount', 'pays.at', 'pays.card_id']
        """
        name = any_name(name)
        return self._lineage.around(self.runtime.state(fresh=True), name, up=up, down=down)

    def log_model(
        self,
        model: str,
        training_sets: TrainingSet | str | Sequence[TrainingSet | str],
        **about: Any,
    ) -> None:
        """Note in the ledger which training sets a model was trained on, for `lineage`.

        Args:
            model: its name, with its version where it has one: ``fraud@3``.
            training_sets: one or several, or their ids.
            about: what else is worth knowing, as plain data: ``uri=``, ``auc=``.

        Raises:
            StoreError: the ledger cannot be written.
        """
        one = isinstance(training_sets, (TrainingSet, str))
        given: Sequence[Any] = [training_sets] if one else list(training_sets)
        ids = [made.id if isinstance(made, TrainingSet) else str(made) for made in given]
        data = {"model": checked_text(model, "a model"), "training_sets": ids, "about": about}
        self.runtime.ledger.append([("model", data)])

    @property
    def entities(self) -> Mapping[str, Entity]:
        """The entities that are applied, by name."""
        return self.runtime.state().entities

    @property
    def sources(self) -> Mapping[str, Source]:
        """The sources that are applied, by name."""
        return self.runtime.state().sources

    @property
    def views(self) -> Mapping[str, View]:
        """Feature views and on-demand views by name, each in its current version."""
        state = self.runtime.state()
        return {name: state.view(name) for name in state.current}

    @property
    def services(self) -> Mapping[str, FeatureService]:
        """The feature services that are applied, by name."""
        return self.runtime.state().services

    def show(self, name: Any) -> CatalogEntry:
        """Return what there is to know of a definition or a feature, words included; it prints.

        Args:
            name: ``Spend``, ``Spend@v1``, ``Spend:total_1h``, of a source, an entity or a feature
                service; or one of these itself.

        Raises:
            UnknownName: there is nothing of the name.
        """
        from skewless.monitoring.catalog import entry_of

        return entry_of(self.runtime.state(), any_name(name))

    def search(self, text: str, limit: int = 10) -> list[dict[str, Any]]:
        """Return the features that fit a text best: see `skewless.monitoring.search.search`.

        >>> fs.search("spend last day owner:risk -deprecated")  # doctest: +SKIP
        """
        from skewless.monitoring.search import search

        text, limit = checked_text(text, "a text"), checked_count(limit, "a limit")
        used = self.usage.counts
        return search(self.runtime.state(), text, limit, fresh=self.freshness, used=used)

    def recommend(self, service: str, limit: int = 10) -> Recommendations:
        """Return what a service could try next, and how far that repeats what it has; it prints.

        Raises:
            UnknownName: no such service.
        """
        from skewless.monitoring.recommend import recommend

        service, limit = name_of(service, "feature service"), checked_count(limit, "a limit")
        return recommend(self.runtime, service, self.usage.counts(), limit)

    def close(self) -> None:
        """Close the stores, when what waits of lineage was sent."""
        if self._emitter is not None:
            self._emitter.close()
        self.runtime.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"FeatureStore({str(self.config.folder)!r})"


def _moment(value: Moment | None) -> int | None:
    if value is None:
        return None
    if not isinstance(value, (datetime, str, int)):
        raise InputError("not a time", got=repr(value))
    return to_micros(value)

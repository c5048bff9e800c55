"""What a process that acts for somebody may read of a repo: grants hold in process too.

A process acts for who ``SKEWLESS_ACTOR`` names. Where it names nobody, the process has the stores
and no wall: grants are not asked. What it says of itself is no proof either; see
`skewless.access.actors`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from skewless.access.actors import VARIABLE, process_actor
from skewless.access.keyed import KeyedHash
from skewless.audit.audit import Audit
from skewless.audit.events import HISTORY, Rows
from skewless.audit.verbs import Verbs
from skewless.forks import cached_property
from skewless.lineage.access import Access, Asker
from skewless.lineage.masks import Masks
from skewless.online.runtime import Runtime
from skewless.plan.apply.registry_state import RegistryState
from skewless.plan.results import TrainingSet
from skewless.plan.selection import Features, Output, select
from skewless.request_errors import Forbidden

_MOST = 1_000
"""Lists of features whose masks are kept."""


class ProcessReads:
    """Looks at the grants for the verbs of one open repo.

    Args:
        runtime: the open repo.
        audit: where what is read is put on record.

    Attributes:
        verbs: put what is done on record.
    """

    def __init__(self, runtime: Runtime, audit: Audit) -> None:
        self._runtime = runtime
        self.verbs = Verbs(audit)
        self.named = bool(os.environ.get(VARIABLE))
        self._access = Access(RegistryState())
        self._masks: dict[tuple[Asker, Sequence[Output]], Masks | None] = {}

    def of_features(self, features: Features, full_names: bool, where: str) -> Masks | None:
        """Return how features that are asked for are shown; see `of`."""
        if not self.named:
            return None
        state = self._runtime.state(fresh=True)
        return self.of(select(state, features, full_names=full_names).outputs, where)

    def of(self, outputs: tuple[Output, ...], where: str) -> Masks | None:
        """Return how some features are shown; None: as they are.

        Raises:
            Forbidden: one may not be read.
        """
        if not self.named or not (access := self._current()).state.grants:
            return None
        asker = self._asker()
        if (asker, outputs) not in self._masks:
            with self.verbs.refusals(where):
                masks = access.require(asker, (each.reference for each in outputs), where)
            if len(self._masks) >= _MOST:
                self._masks.clear()
            types = [output.dtype for output in outputs]
            shown = Masks(masks, types, self._keyed) if any(masks) else None
            self._masks[asker, outputs] = shown
        return self._masks[asker, outputs]

    def as_they_are(self, features: Features, rows: Rows | None, where: str) -> None:
        """Raise `Forbidden` unless features that are asked for may be read unmasked.

        Args:
            features: that are asked for.
            rows: the entities; None: all.
            where: the verb.
        """
        if not self.named and not self.verbs.audit.is_on:
            return
        selection = select(self._runtime.state(fresh=True), features, full_names=True)
        masks = self.of(selection.outputs, where)
        with self.verbs.refusals(where):
            if masks is not None:
                raise Forbidden(
                    "this shows values as they are, and features of it may be read masked alone",
                    got=f"{len(masks.places)} that are masked",
                    where=where,
                )
        self.verbs.entities(where, selection, rows)

    def everything(self, where: str, features: Features = (), rows: Rows | None = None) -> None:
        """Raise `Forbidden` unless all may be read, source rows among it.

        Args:
            where: the verb.
            features: those that it is about, if it is about some.
            rows: the entities; None: all.
        """
        if self.named:
            with self.verbs.refusals(where):
                self._current().require_everything(self._asker(), where)
        if features and self.verbs.audit.is_on:
            self.verbs.entities(where, select(self._runtime.state(), features), rows)
        else:
            self.verbs.other(where)

    def training(self, made: TrainingSet, where: str) -> TrainingSet:
        """Return a training set as it is shown (itself: nothing is masked), and put it on record.

        Raises:
            Forbidden: an engine has its rows elsewhere, where they are not masked.
        """
        from skewless.training.frame_training_set import FrameTrainingSet  # it brings Arrow

        # Of what was made: what was asked for may have been defined anew meanwhile.
        masks = self.of(made.plan.selection.outputs, where)
        if isinstance(made, FrameTrainingSet):
            if masks is not None:
                raise Forbidden("rows that stay with an engine are not masked", where=where)
            self.verbs.entities(HISTORY, made.plan.selection, None)
            return made
        self.verbs.history(made.plan.selection, made.to_arrow())
        if masks is None:
            return made
        names = [made.features[place] for place in masks.places]
        return made.masked(lambda table: masks.table(table, made.features), names)

    @cached_property
    def _keyed(self) -> KeyedHash:
        return KeyedHash.read(self._runtime.config)

    def _asker(self) -> Asker:
        return Asker(process_actor())

    def _current(self) -> Access:
        state = self._runtime.state()
        if self._access.state is not state:
            self._access, self._masks = Access(state), {}
        return self._access

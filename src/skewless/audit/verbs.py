"""Puts the verbs of a process on record: who it acts for, what it read, of whom."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from skewless.access.actors import acting
from skewless.audit.audit import PURPOSE, Audit
from skewless.audit.events import (
    BEGUN,
    HISTORY,
    NO_FEATURES,
    OK,
    READ,
    REFUSED,
    SEARCH,
    Access,
    FeatureList,
    Rows,
    Subjects,
)
from skewless.definitions import Entity
from skewless.errors import SkewlessError
from skewless.plan.lookup import Lookup
from skewless.plan.selection import Selection
from skewless.request_errors import Forbidden

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 10_000
"""Entities of one record of a training set."""


class Verbs:
    """What a process does, for its audit.

    Args:
        audit: of the repo.
    """

    def __init__(self, audit: Audit) -> None:
        self.audit = audit
        self._purpose = os.environ.get(PURPOSE, "")

    def read(self, lookup: Lookup, rows: Rows) -> None:
        """Note an online read.

        Raises:
            AuditUnavailable: mode ``strict``, and it cannot be put on record.
        """
        if self.audit.is_on:
            features, subjects = self.audit.about(lookup)
            self.audit.record(self._of(READ, features, subjects, rows, len(rows)))

    def history(self, selection: Selection, spine: pa.Table) -> None:
        """Note a training set: every entity of its spine, once."""
        if not self.audit.is_on:
            return
        features, noted = FeatureList.of_selection(selection), False
        for subjects in Subjects.of_selection(selection):
            names = list(subjects.columns)
            asked = spine.select(names).group_by(names).aggregate([]).to_pylist() if names else [{}]
            for start in range(0, len(asked), ROWS):
                some = asked[start : start + ROWS]
                self.audit.record(self._of(HISTORY, features, [subjects], some, len(some)))
                noted = True
        if not noted:
            self.audit.record(self._of(HISTORY, features, (), (), spine.num_rows))

    def entities(self, action: str, selection: Selection, rows: Rows | None) -> None:
        """Note what shows values of some entities, or (None) of all there are."""
        if self.audit.is_on:
            subjects = Subjects.of_selection(selection)
            features = FeatureList.of_selection(selection)
            access = self._of(action, features, subjects, rows or (), len(rows or ()))
            access.about = {"every": True} if rows is None else None
            self.audit.record(access)

    @contextmanager
    def writing(self, action: str, source: str) -> Iterator[Callable[[int], None]]:
        """Note a write when it is done, with its rows; in mode ``strict`` before it as well.

        Raises:
            AuditUnavailable: mode ``strict``, and it cannot be put on record: nothing is written.
        """
        if self.audit.is_strict:
            self.other(action, source=source, outcome=BEGUN)

        def done(rows: int) -> None:
            if self.audit.is_on:
                access = self._of(action, NO_FEATURES, (), (), rows)
                access.about = {"source": source}
                self.audit.note(access)

        try:
            yield done
        except SkewlessError as problem:
            if self.audit.is_on:
                about = {"source": source, "outcome": type(problem).__name__}
                self.audit.note(Access(action, acting(), purpose=self._purpose, about=about))
            raise

    def searched(self, action: str, *, actor: str = "", entities: Sequence[str] = ()) -> None:
        """Note a search of the audit: for an actor, or for hashes of entities."""
        if self.audit.is_on:
            access = self._of(SEARCH, NO_FEATURES, (), (), 0)
            access.about = {"search": action, "of": actor, "entities": list(entities)}
            self.audit.record(access)

    def named(self, action: str, entity: Entity, key: Mapping[str, Any]) -> None:
        """Note what shows all there is of one entity."""
        if self.audit.is_on:
            subjects = [Subjects(entity, {})]
            self.audit.record(self._of(action, NO_FEATURES, subjects, [key], 1))

    def other(self, action: str, count: int = 0, **about: Any) -> None:
        """Note something else that shows or changes values.

        Args:
            action: what it is.
            count: of rows.
            about: what else there is to say.
        """
        if self.audit.is_on:
            access = self._of(action, NO_FEATURES, (), (), count)
            access.about = about
            self.audit.record(access)

    @contextmanager
    def refusals(self, action: str, **about: Any) -> Iterator[None]:
        """Note what grants refuse within."""
        try:
            yield
        except Forbidden as problem:
            if self.audit.is_on:
                outcome = f"{REFUSED}: {problem.got or problem.what}"
                access = Access(action, acting(), outcome=outcome, purpose=self._purpose)
                access.about = about
                self.audit.record(access)
            raise

    def _of(
        self,
        action: str,
        features: FeatureList,
        subjects: Sequence[Subjects],
        rows: Rows,
        count: int,
    ) -> Access:
        its = [dict(row) for row in rows]  # whose they are may change them before they are written
        return Access(action, acting(), features, subjects, its, count, OK, self._purpose)

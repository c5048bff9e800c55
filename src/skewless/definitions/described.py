"""What can be described in words for people: every expression that is a feature.

>>> from skewless.definitions.source import Source
>>> tests = Source("tests", schema={"fab": str, "vdd": float}, event_time="at")
>>> tests.vdd.mean("1h").describe("supply voltage of late").words.description
'supply voltage of late'
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

from skewless.definitions.words import Words
from skewless.errors import DefinitionError


class Described:
    """Has words; they change no value.

    Attributes:
        words: what is said of it; None where nothing is.
    """

    words: Words | None = None

    def describe(
        self,
        description: str = "",
        *,
        unit: str = "",
        owner: str = "",
        tags: Mapping[str, Any] | None = None,
        was: str = "",
    ) -> Self:
        """Return the feature with words for people; they change no value and no version.

        Args:
            description: what it is.
            unit: of its values: ``"V"``, ``"EUR"``.
            owner: who answers for it, where that is not the view's.
            tags: name = value.
            was: what the feature was called before: its history goes with it.

        >>> from skewless.definitions.source import Source
        >>> tests = Source("tests", schema={"fab": str, "vdd": float}, event_time="at")
        >>> tests.vdd.mean("1h").describe("supply voltage of late", unit="V").words.unit
        'V'
        """
        said = Words(description, unit, owner, {} if tags is None else tags, was=was)
        if self.words is not None:
            said = replace(said, declassified=self.words.declassified)
        return self.with_words(said)

    def declassify(self, reason: str) -> Self:
        """Return the feature without the classes of personal data of the columns it is made of.

        What is made of it has none of them either. No value and no version changes.

        Args:
            reason: why it says nothing of a person any more; it stands in the registry.

        Raises:
            DefinitionError: there is no reason.

        >>> from skewless.definitions.source import Source
        >>> tests = Source("tests", schema={"fab": str, "who": str}, event_time="at")
        >>> tests.who.n_unique("1d").declassify("a number of people").words.declassified
        'a number of people'
        """
        said = Words() if self.words is None else self.words
        said = replace(said, declassified=reason)
        if not reason.strip():
            raise DefinitionError("declassified without a reason", got=repr(reason))
        return self.with_words(said)

    def with_words(self, words: Words) -> Self:
        """Return the same expression with words."""
        made = copy.copy(self)
        made.words = words
        return made

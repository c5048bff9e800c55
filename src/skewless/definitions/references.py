"""References to features: ``View:feature``, or ``View@v2:feature`` with a version.

>>> split_reference("Spend@v2:mean")
('Spend', 2, 'mean')
"""

from __future__ import annotations

import re
from typing import Any

from skewless.definitions.expressions import READERS, Expression
from skewless.errors import DefinitionError
from skewless.types import DType, dtype_from_dict


class FeatureRef(Expression):
    """A feature of a view, as an operand of on-demand features or a member of a service."""

    def __init__(self, view: str, feature: str, dtype: DType, version: int | None = None) -> None:
        self.view = view
        self.feature = feature
        self.dtype = dtype
        self.version = version

    @property
    def per_row(self) -> bool:
        """A feature is a value of an entity, not of a row."""
        return False

    @property
    def reference(self) -> str:
        """The text form ``View:feature`` or ``View@v2:feature``."""
        version = f"@v{self.version}" if self.version is not None else ""
        return f"{self.view}{version}:{self.feature}"

    def to_dict(self) -> dict[str, Any]:
        """The reference and its type."""
        return {"feature": self.reference, "type": self.dtype.to_dict()}

    def __repr__(self) -> str:
        return self.reference


def _from_dict(data: dict[str, Any], source: str) -> FeatureRef:  # noqa: ARG001 - it has none
    view, version, feature = split_reference(data["feature"])
    return FeatureRef(view, feature, dtype_from_dict(data["type"]), version)


READERS["feature"] = _from_dict


_VERSION = re.compile(r"(.*)@v([0-9]{1,9})", re.DOTALL)


def split_view(name: str) -> tuple[str, int | None]:
    """Return name and version of ``View`` or ``View@v2``; the version of a bare name is None.

    What has another form is returned as it is, and is the name of nothing.

    >>> split_view("Spend@v2"), split_view("Spend"), split_view("Spend@vx")
    (('Spend', 2), ('Spend', None), ('Spend@vx', None))
    """
    found = _VERSION.fullmatch(name)
    return (found[1], int(found[2])) if found else (name, None)


def split_reference(reference: str) -> tuple[str, int | None, str]:
    """Return view, version (None: the current) and feature of ``View:feature``.

    Raises:
        DefinitionError: the text has another form.
    """
    view, colon, feature = reference.partition(":")
    name, version = split_view(view)
    if not colon or not name or not feature or "@" in name:
        raise DefinitionError(
            "not a reference to a feature",
            got=repr(reference),
            expected="'View:feature' or 'View@v2:feature'",
        )
    return name, version, feature

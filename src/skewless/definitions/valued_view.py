"""The view behind a source of values, out of the plain data that the source carries."""

from __future__ import annotations

from skewless.definitions.derivation import Derivation
from skewless.definitions.entity import Entity
from skewless.definitions.feature_view import FeatureView
from skewless.definitions.source import Source
from skewless.errors import DefinitionError


def view_of(by: Derivation, base: Source) -> FeatureView:
    """Return the view whose values a derived source has.

    Args:
        by: how its rows are made.
        base: the source that the view is over.

    Raises:
        DefinitionError: they are made by a function.
    """
    if by.view is None:
        raise DefinitionError(f"no values of a view: {by}")
    entity = Entity.from_dict({"description": "", **by.view["entity"]})
    return FeatureView.from_dict(dict(by.view), entity, base)

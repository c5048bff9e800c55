"""Feature services: a named, pinned list of features, the contract of one model.

>>> FeatureService("delay_model", ["Weather:wind", "Carrier@v2:delay"]).references
('Weather:wind', 'Carrier@v2:delay')
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from skewless.definitions.feature_view import FeatureView, checked_labels
from skewless.definitions.fingerprint import fingerprint, value_part
from skewless.definitions.naming import checked_name
from skewless.definitions.on_demand import OnDemandView
from skewless.definitions.references import FeatureRef, split_reference
from skewless.errors import DefinitionError

Member = FeatureView | OnDemandView | FeatureRef | str


class FeatureService:
    """A named, pinned list of features: the contract of one model.

    Args:
        name: of the service.
        features: views (all their features), references, or texts ``View:feature``. A reference
            without a version is pinned to the version that is current when it is applied; a view
            stands for the features it had then, until the service is applied with repin.
        labels: ``owner``, ``tags``, ``description``, ``deprecated``, ``sunset``, ``was``.

    Raises:
        DefinitionError: no features, one twice, or something that is none.
    """

    def __init__(self, name: str, features: Iterable[Member], **labels: Any) -> None:
        self.name = checked_name(name, "feature service")
        self.labels = checked_labels(name, labels)
        if isinstance(features, str) or not isinstance(features, Iterable):
            raise DefinitionError(
                f"the features of service {name!r} are no list",
                got=f"{features!r:.60} ({type(features).__name__})",
                expected="a list of views, references or texts 'View:feature'",
            )
        members = list(features)
        self.references = tuple(ref for member in members for ref in references_of(member))
        self.whole = tuple(m.name for m in members if isinstance(m, (FeatureView, OnDemandView)))
        self.views = tuple(m for m in members if isinstance(m, FeatureView) and m.is_role)
        """The roles in it: they are applied with it."""
        if not self.references:
            raise DefinitionError(f"feature service {name!r} has no features")
        seen: set[str] = set()
        for reference in self.references:
            split_reference(reference)
            if reference in seen:
                raise DefinitionError(f"feature service {name!r} lists {reference!r} twice")
            seen.add(reference)

    @property
    def fingerprint(self) -> str:
        """Hash of the list of features."""
        return fingerprint(value_part(self.to_dict()))

    def to_dict(self) -> dict[str, Any]:
        """Return the service as plain data."""
        whole = {"whole": list(self.whole)} if self.whole else {}
        return {"name": self.name, "references": list(self.references), **whole, **self.labels}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> FeatureService:
        """Return the service that `to_dict` wrote."""
        labels = {k: v for k, v in data.items() if k not in ("name", "references", "whole")}
        made = cls(data["name"], data["references"], **labels)
        made.whole = tuple(data.get("whole", ()))
        return made

    def __repr__(self) -> str:
        return f"FeatureService({self.name}: {len(self.references)} features)"


def references_of(member: Member) -> list[str]:
    """Return the texts ``View:feature`` that a view, a reference or a text stands for."""
    if isinstance(member, (FeatureView, OnDemandView)):
        return [f"{member.name}:{feature}" for feature in member.features]
    if isinstance(member, FeatureRef):
        return [member.reference]
    if isinstance(member, str):
        return [member]
    raise DefinitionError(
        "not a feature",
        got=repr(member),
        expected="a view, a feature of one (View.feature) or a text 'View:feature'",
    )

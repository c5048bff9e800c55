"""Who may read which features: the grants of one revision of a registry, decided. Pure.

>>> import skewless as sl
>>> from skewless.definitions.repo import Definitions
>>> from skewless.plan.apply.diff import diff
>>> card = sl.Entity("card", card_id=str)
>>> pays = sl.Source("pays", event_time="at", schema={"card_id": str, "amount": float})
>>> view = sl.FeatureView("Spend", entity=card, source=pays, features={
...     "total": pays.amount.sum("1h"), "mean": pays.amount.mean("1h")})
>>> grant = sl.Grant("risk", to="user:ada", read="Spend:total")
>>> plan = diff(RegistryState(), Definitions.of(view, grant))
>>> access = Access(RegistryState(records=plan.writes))
>>> access.decide(Asker("user:ada"), "Spend@v1:total")
Decision(allowed=True, grant='risk', reason="grant 'risk' allows it")
>>> access.decide(Asker("user:ada"), "Spend@v1:mean").reason
'no grant allows it'

What nobody was granted is refused, and a grant that forbids wins. Classes of data and what is
forbidden follow the lineage: a feature is what the columns and features are that it is made of,
until `Expression.declassify`. To be allowed, a feature must be named itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from skewless.definitions.grant import CLASSES, EVERY, Grant
from skewless.definitions.mask import Mask
from skewless.definitions.references import split_reference
from skewless.forks import cached_property
from skewless.lineage.personal import Personal, features_behind, personal
from skewless.plan.apply.registry_state import RegistryState
from skewless.request_errors import Forbidden


class Asker(NamedTuple):
    """Who asks.

    Attributes:
        actor: ``user:ada`` or ``service:checkout``; empty: nobody by name.
        groups: of a token, as the issuer calls them.
    """

    actor: str = ""
    groups: frozenset[str] = frozenset()

    @property
    def names(self) -> set[str]:
        """What grants may call them."""
        return {EVERY, self.actor or EVERY, *(f"group:{group}" for group in self.groups)}


@dataclass(frozen=True)
class Decision:
    """Whether a feature may be read, and how; see `Access.decide`.

    Attributes:
        allowed: whether it may.
        grant: the grant that decides; empty: none does, and so it may not, or there is none at all.
        reason: for people.
        mask: how its values are shown; None: as they are.
    """

    allowed: bool
    grant: str
    reason: str
    mask: Mask | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the decision as plain data."""
        mask = None if self.mask is None else str(self.mask)
        return {**vars(self), "mask": mask}


class Access:
    """The grants of one revision.

    Args:
        state: of the registry.
    """

    def __init__(self, state: RegistryState) -> None:
        self.state = state

    @cached_property
    def _personal(self) -> Mapping[str, Personal]:
        return personal(self.state)

    @cached_property
    def _behind(self) -> Mapping[str, frozenset[str]]:
        return features_behind(self.state)

    def decide(self, asker: Asker, reference: str) -> Decision:
        """Return whether somebody may read a feature.

        Args:
            asker: who asks.
            reference: of the feature, with its version: ``Spend@v1:total``.
        """
        if not self.state.grants:
            return Decision(True, "", "there are no grants: who is let in may read everything")
        names, behind = asker.names, self._behind.get(reference)
        if behind is None:
            return Decision(False, "", "no version of a view that serves has it")
        found = self._personal.get(reference)
        classes: frozenset[str] = frozenset() if found is None else found.classes
        grants = [grant for grant in self.state.grants.values() if not names.isdisjoint(grant.to)]
        made_of = (reference, *sorted(behind))
        for grant in grants:
            if not grant.forbid or (grant.personal and classes.isdisjoint(grant.personal)):
                continue
            for each in made_of:
                if _covers(grant, each):
                    by = "" if each == reference else f" by {each}, which it is made of"
                    return Decision(False, grant.name, f"grant {grant.name!r} forbids it{by}")
        lacking: list[str] = []
        for grant in sorted(grants, key=lambda grant: (grant.mask is not None, grant.name)):
            if grant.forbid or not _covers(grant, reference):
                continue
            if not (more := classes.difference(grant.personal)):
                mask = grant.mask if classes else None
                masked = "" if mask is None else f", masked: {mask}"
                allows = f"grant {grant.name!r} allows it{masked}"
                return Decision(True, grant.name, allows, mask)
            lacking.append(f"grant {grant.name!r} covers no data that is {_listed(more)}")
        return Decision(False, "", "; ".join(lacking) or "no grant allows it")

    def may_read_everything(self, asker: Asker) -> bool:
        """Whether somebody may read every feature and every column: one grant allows them all."""
        names = asker.names
        grants = [grant for grant in self.state.grants.values() if not names.isdisjoint(grant.to)]
        return not self.state.grants or (
            not any(grant.forbid for grant in grants)
            and any(
                EVERY in grant.read and set(CLASSES) <= set(grant.personal) and grant.mask is None
                for grant in grants
            )
        )

    def require(
        self, asker: Asker, references: Iterable[str], where: str
    ) -> tuple[Mask | None, ...]:
        """Return how somebody is shown each of some features; None: as they are.

        Raises:
            Forbidden: one may not be read.
        """
        masks = []
        for reference in references:
            decision = self.decide(asker, reference)
            if not decision.allowed:
                raise Forbidden(
                    "this feature may not be read by whoever asks",
                    got=f"{reference} for {asker.actor or 'nobody by name'}: {decision.reason}",
                    where=where,
                    hint="skewless access why WHO VIEW:FEATURE",
                )
            masks.append(decision.mask)
        return tuple(masks)

    def require_everything(self, asker: Asker, where: str) -> None:
        """Raise `Forbidden` unless somebody may read every feature and every column."""
        if not self.may_read_everything(asker):
            raise Forbidden(
                "there are grants, and this shows more than features that are asked for",
                got=asker.actor or "nobody by name",
                expected=f"a grant of '*' with personal={list(CLASSES)}, and none that forbids",
                where=where,
            )

    def warm(self) -> None:
        """Follow the lineage now, so that no read waits for it."""
        if self.state.grants:
            _ = self._personal, self._behind


def _covers(grant: Grant, reference: str) -> bool:
    view, _, feature = split_reference(reference)
    return not {EVERY, view, f"{view}:{feature}"}.isdisjoint(grant.read)


def _listed(classes: Iterable[str]) -> str:
    return " and ".join(sorted(classes))

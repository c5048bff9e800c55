"""Grants: who may read which features of a project over HTTP.

>>> Grant("risk", to=["group:risk", "service:checkout"], read=["Spend", "Trip:km"])
Grant(risk: group:risk, service:checkout may read Spend, Trip:km)
>>> Grant("no_names", to="*", read="*", personal=["direct"], forbid=True)
Grant(no_names: * may not read * that is direct)
>>> Grant("ads", to="service:ads", read="*", personal=["sensitive"], mask="bucket:100")
Grant(ads: service:ads may read * that is sensitive as bucket:100)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from skewless.definitions.feature_view import FeatureView
from skewless.definitions.mask import Mask
from skewless.definitions.naming import checked_name, checked_text
from skewless.definitions.on_demand import OnDemandView
from skewless.definitions.references import FeatureRef, split_reference
from skewless.definitions.words import PII
from skewless.errors import DefinitionError

EVERY = "*"
"""Everybody, or every feature of the project."""
CLASSES = (*PII, "phi", "mnpi")
"""What a feature may be: the classes of ``pii``, health information, what is not public."""
_WHO = re.compile(r"(user|service|group):\S[^\n]*\Z")
Readable = FeatureView | OnDemandView | FeatureRef | str


class Grant:
    """Who may read which features over HTTP. Once there is one, what none allows is refused.

    Args:
        name: of the grant.
        to: ``user:ada``, ``service:checkout`` (actors of keys and tokens), ``group:risk`` (a group
            of a token), ``*`` (everybody); one, or a list.
        read: views, features of them (``View.feature`` or ``"View:feature"``), or ``*``: every
            feature of the project. They are meant in every version.
        personal: classes of data (``direct``, ``quasi``, ``sensitive``, ``phi``, ``mnpi``) that
            features may have, by the columns they are made of; others are not covered. Where the
            grant forbids: those that it forbids; none: it forbids every feature that it names.
        forbid: whether this may not be read, whatever other grants say. A forbidden feature is
            forbidden in what is made of it as well, until ``.declassify``.
        mask: how values of features that have a class are shown by this grant, with the status
            ``masked``: ``null``, ``hash``, ``bucket:WIDTH`` or ``round:DIGITS``; empty: as they
            are. A grant without a mask that allows a feature goes before one with.
        description: why.
        owner: who answers for it.

    Raises:
        DefinitionError: nobody, nothing, or what is neither.
    """

    def __init__(
        self,
        name: str,
        *,
        to: str | Iterable[str],
        read: Readable | Iterable[Readable],
        personal: str | Iterable[str] = (),
        forbid: bool = False,
        mask: str = "",
        description: str = "",
        owner: str = "",
    ) -> None:
        self.name = checked_name(name, "grant")
        self.to = _texts(to, f"to of grant {name!r}")
        self.read = _texts(
            [_named(each, name) for each in _members(read, f"read of grant {name!r}")],
            f"read of grant {name!r}",
        )
        self.personal = _texts(personal, f"personal of grant {name!r}", some=False)
        if not isinstance(forbid, bool):
            raise DefinitionError(f"forbid of grant {name!r} is true or false", got=repr(forbid))
        self.forbid = forbid
        self.mask = Mask.of(mask, f"mask of grant {name!r}") if mask != "" else None
        if self.mask is not None and (forbid or not self.personal):
            raise DefinitionError(
                f"grant {name!r} has a mask and {'forbids' if forbid else 'covers no class'}",
                got=str(self.mask),
                expected="a grant that allows, with the classes that it masks in personal=",
            )
        self.labels: dict[str, Any] = {
            "description": checked_text(description, "description", repr(name)),
            "owner": checked_text(owner, "owner", repr(name)),
        }
        for who in self.to:
            if who != EVERY and not _WHO.match(who):
                raise DefinitionError(
                    f"grant {name!r} is for nobody that there can be",
                    got=repr(who), expected="user:NAME, service:NAME, group:NAME or *",
                )  # fmt: skip
        for each in self.personal:
            if each not in CLASSES:
                raise DefinitionError(
                    f"grant {name!r} names no class of data",
                    got=repr(each), expected=", ".join(CLASSES),
                )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return the grant as plain data."""
        return {
            "name": self.name,
            "to": list(self.to),
            "read": list(self.read),
            "personal": list(self.personal),
            "forbid": self.forbid,
            **({} if self.mask is None else {"mask": str(self.mask)}),
            **self.labels,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Grant:
        """Return the grant that `to_dict` wrote."""
        return cls(**data)

    def __repr__(self) -> str:
        may = "may not read" if self.forbid else "may read"
        of = f" that is {' or '.join(self.personal)}" if self.personal else ""
        of += f" as {self.mask}" if self.mask is not None else ""
        return f"Grant({self.name}: {', '.join(self.to)} {may} {', '.join(self.read)}{of})"


def _members(given: Any, where: str) -> list[Any]:
    if isinstance(given, Readable):
        return [given]
    if not isinstance(given, Iterable):
        raise DefinitionError(f"{where} is no list", got=f"{given!r:.60}")
    return list(given)


def _texts(given: Any, where: str, *, some: bool = True) -> tuple[str, ...]:
    found = _members(given, where)
    if not all(isinstance(each, str) for each in found):
        raise DefinitionError(f"{where} is no list of texts", got=f"{given!r:.60}")
    if some and not found:
        raise DefinitionError(f"{where} is empty")
    return tuple(dict.fromkeys(found))


def _named(given: Any, grant: str) -> str:
    """Return ``*``, ``View`` or ``View:feature``."""
    if isinstance(given, FeatureView | OnDemandView):
        return given.name
    if isinstance(given, FeatureRef):
        given = f"{given.view}:{given.feature}"
    if given == EVERY:
        return EVERY
    if isinstance(given, str) and ":" in given:
        view, version, feature = split_reference(given)
        if version is None:
            return f"{view}:{feature}"
    elif isinstance(given, str) and "@" not in given:
        return checked_name(given, "view")
    raise DefinitionError(
        f"grant {grant!r} is for what is no feature",
        got=repr(given),
        expected="a view, View.feature, 'View:feature' or '*', without a version",
    )

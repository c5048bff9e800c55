"""What features are compared with, and who said so.

| reference | is |
|---|---|
| ``training`` | the newest training set with the feature, one that a model was trained on first |
| ``training:ID`` | this training set |
| ``trailing`` | the seven days before the window |
| ``weekday`` | the same day of the week before |
| ``day:2026-01-31`` | the profile of a day: pinned |
| ``accepted`` | what somebody accepted for the view or feature service, else as none is named |

None named: what was accepted; else a training set; else ``trailing``. To accept another reference
is an act, and stands in the ledger with a name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from skewless.clock import iso
from skewless.drift.profile import TRAINING, Profile
from skewless.drift.profiles import DAY, stored
from skewless.drift.sketches import curve_of, merged_counts
from skewless.errors import InputError
from skewless.ledger.ledger import Ledger

KIND = "reference"
ACCEPTED, TRAILING, WEEKDAY = "accepted", "trailing", "weekday"
TRAILING_DAYS = 7
_KINDS = (ACCEPTED, TRAINING, TRAILING, WEEKDAY)
EXPECTED = "training, training:ID, trailing, weekday, day:2026-01-31 or accepted"


@dataclass(frozen=True)
class AcceptedReference:
    """That somebody accepted a reference.

    Attributes:
        of: the view or feature service.
        reference: what is compared with from then on.
        who: accepted it.
        why: for people.
        at: when, UTC microseconds.
    """

    of: str
    reference: str
    who: str
    why: str
    at: int

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return vars(self) | {"at": iso(self.at)}


def accept(ledger: Ledger, of: str, reference: str, *, who: str, why: str = "") -> None:
    """Put into the ledger that a reference was accepted; see `FeatureStore.accept_reference`.

    Raises:
        InputError: no such kind of reference, or nobody's name.
        StoreError: the ledger cannot be written.
    """
    checked(reference)
    if not who:
        raise InputError("a reference is accepted by somebody", hint="Say who.")
    ledger.append([(KIND, {"of": of, "reference": reference, "who": who, "why": why})])


def accepted(ledger: Ledger) -> dict[str, AcceptedReference]:
    """Return the reference that holds for each view and feature service where one was accepted."""
    return {
        record.data["of"]: AcceptedReference(at=record.at, **record.data)
        for record in ledger.records(kinds=[KIND])
    }


def checked(reference: str) -> str:
    """Return the name of a reference.

    Raises:
        InputError: there is no such kind.
    """
    kind, _, rest = reference.partition(":")
    if kind == "day":
        try:
            date.fromisoformat(rest)
        except ValueError:
            raise InputError("no day", got=reference, expected="day:2026-01-31") from None
    elif kind not in _KINDS or (rest and kind != TRAINING):
        raise InputError("no reference", got=reference, expected=EXPECTED)
    return reference


class References:
    """Finds what profiles are compared with; the ledger is read once for each kind.

    Args:
        ledger: of the repo.
        of: the features, with versions.
    """

    def __init__(self, ledger: Ledger, of: Sequence[str]) -> None:
        self._ledger = ledger
        self._of = list(of)
        self._training: dict[str, list[Profile]] | None = None
        self._models: set[str] = set()
        self._days: dict[tuple[str, str], list[Profile]] = {}

    def of(self, current: Profile, reference: str | None) -> Profile | None:
        """Return the reference of a profile; None where there is none.

        Args:
            current: what is compared.
            reference: its name; None: a training set, else the days before.
        """
        kind, _, rest = (reference or "").partition(":")
        if kind == TRAINING or not kind:
            found = self._of_training(current.of, rest)
            return found if kind or found is not None else self.of(current, TRAILING)
        day = current.end
        if kind == "day":
            return merged(self._of_days(current, [rest]))
        back = [7] if kind == WEEKDAY else range(1, TRAILING_DAYS + 1)
        return merged(self._of_days(current, [iso(day - each * DAY)[:10] for each in back]))

    def _of_training(self, feature: str, wanted: str) -> Profile | None:
        if self._training is None:
            self._training = {}
            for profile in stored(self._ledger, points=[TRAINING], of=self._of):
                self._training.setdefault(profile.of, []).append(profile)
            self._models = {
                each
                for record in self._ledger.records(kinds=["model"])
                for each in record.data["training_sets"]
            }
        known = self._training.get(feature, [])
        known = [each for each in known if not wanted or each.id == wanted]
        trained = [each for each in known if each.id in self._models]
        return (trained or known or [None])[-1]  # type: ignore[list-item]

    def _of_days(self, current: Profile, days: Iterable[str]) -> list[Profile]:
        """Return the profiles of the same point of some days, the newest of each."""
        key = current.point, "|".join(wanted := sorted(days))
        if key not in self._days:
            newest: dict[tuple[str, str], Profile] = {}
            for profile in stored(self._ledger, points=[current.point], of=self._of):
                day = iso(profile.end)[:10]
                if day in wanted:
                    newest[profile.of, day] = profile
            self._days[key] = list(newest.values())
        return [each for each in self._days[key] if each.of == current.of]


def merged(profiles: Sequence[Profile]) -> Profile | None:
    """Return the profile of several days together; None of none.

    An entity is in the profile of every day, so there are no more entities than on the day that has
    most: distributions are mixed, and ``n`` is that of one day.
    """
    if len(profiles) < 2:
        return profiles[0] if profiles else None
    most = max(profiles, key=lambda each: each.entities)
    asked = max(each.asked for each in profiles)
    scale = asked / max(1, sum(each.asked for each in profiles))
    statuses = merged_counts(each.statuses for each in profiles)
    return Profile(
        most.of,
        most.point,
        min(each.start for each in profiles),
        max(each.end for each in profiles),
        most.entities,
        {status: round(count * scale) for status, count in statuses.items()},
        asked,
        max(each.n for each in profiles),
        {name: _mixed(profiles, name) for name in most.curves},
        merged_counts(each.counts for each in profiles),
        all(each.complete for each in profiles),
        tuple(np.sum([each.buckets for each in profiles if each.buckets], axis=0).tolist())
        if most.buckets
        else (),
        max(each.distinct for each in profiles),
        f"{len(profiles)} days to {iso(max(each.end for each in profiles))[:10]}",
    )


def _mixed(profiles: Sequence[Profile], name: str) -> Any:
    there = [each for each in profiles if len(each.curves.get(name, ()))]
    if not there:
        return np.zeros(0)
    weights = [np.full(len(p.curves[name]), p.n / len(p.curves[name])) for p in there]
    return curve_of(np.concatenate([p.curves[name] for p in there]), np.concatenate(weights))


def needed(found: Mapping[str, AcceptedReference], names: Iterable[str]) -> str | None:
    """Return the reference that was accepted for the first of some names that has one."""
    return next((found[name].reference for name in names if name in found), None)

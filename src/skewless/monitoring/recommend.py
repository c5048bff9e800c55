"""What to try next in a feature service: what others use on its entities and it does not repeat.

    for each in recommend(runtime, "fraud_model", usage.counts()):
        print(each.feature, each.services, each.nearest, each.correlation)

A candidate is a feature of an entity that the service has, which the service does not have and
nobody deprecated. How far it repeats what the service has is measured: the greatest rank
correlation (Spearman) of its values with those of a feature of the service, over entities that are
online, as they are answered now. What repeats is told apart and comes last; what others serve and
train on comes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skewless.definitions import FeatureView
from skewless.definitions.references import split_reference
from skewless.formatting import Drawn, aligned
from skewless.online.some_keys import some_keys
from skewless.plan.apply.registry_state import RegistryState
from skewless.plan.selection import select

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from skewless.online.runtime import Runtime

ENTITIES = 500
"""At most so many are read to compare values."""
FEWEST = 20
"""Below so many entities with both values nothing is said of a correlation."""
REPEATS = 0.95
_KINDS = ("int32", "int64", "float32", "float64", "bool")


@dataclass(frozen=True)
class Recommended:
    """A feature that a service could try.

    Attributes:
        feature: its full reference.
        entity: whose it is.
        description: of it, or of its view.
        services: how many other services have it.
        training_sets: how many training sets have it.
        nearest: the feature of the service that it is most like; empty: nothing could be compared.
        correlation: of the two, by ranks, its size; None likewise.
        entities: over how many entities.
    """

    feature: str
    entity: str
    description: str
    services: int
    training_sets: int
    nearest: str
    correlation: float | None
    entities: int

    @property
    def repeats(self) -> bool:
        """Whether it orders entities as a feature of the service does."""
        return self.correlation is not None and self.correlation >= REPEATS

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return vars(self) | {"repeats": self.repeats}


@dataclass(frozen=True)
class Recommendations(Drawn):
    """What a service could try, the most promising first.

    Attributes:
        service: its name.
        features: one for each candidate.
    """

    service: str
    features: tuple[Recommended, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as plain data."""
        return {"service": self.service, "features": [each.to_dict() for each in self.features]}

    def __str__(self) -> str:
        if not self.features:
            return f"{self.service} has every feature of its entities."
        head = ("feature", "services", "training sets", "most like", "rank correlation", "")
        body = [
            (each.feature, each.services, each.training_sets, each.nearest or "-",
             "-" if each.correlation is None else f"{each.correlation:.2f}",
             "repeats it" if each.repeats else "")
            for each in self.features
        ]  # fmt: skip
        return aligned([head, *body])


def recommend(
    runtime: Runtime, service: str, used: Mapping[str, int], limit: int = 10
) -> Recommendations:
    """Return what a service could try.

    Args:
        runtime: the open repo.
        service: its name.
        used: in how many training sets each feature is.
        limit: at most so many.

    Raises:
        UnknownName: no such service.
    """
    state = runtime.state(fresh=True)
    pins = state.service(service)
    entities = {each.name: each for each in select(state, service, full_names=True).entities}
    own = {_name(pin) for pin in pins}
    candidates = [
        (reference, view)
        for reference, view in _candidates(state, set(entities))
        if _name(reference) not in own
    ]
    others = {name: set(held) for name, held in state.pins.items() if name != service}
    near = _nearest(runtime, state, [reference for reference, _ in candidates], pins)
    found = [
        Recommended(
            reference,
            view.entity.name,
            _words(view, reference),
            sum(reference in held for held in others.values()),
            used.get(reference, 0),
            *near.get(reference, ("", None, 0)),
        )
        for reference, view in candidates
    ]
    found.sort(key=lambda each: (each.repeats, -each.services, -each.training_sets,
                                 each.correlation or 0.0, each.feature))  # fmt: skip
    return Recommendations(service, tuple(found[:limit]))


def _name(reference: str) -> tuple[str, str]:
    """Return view and feature, whatever the version."""
    view, _, feature = split_reference(reference)
    return view, feature


def _words(view: FeatureView, reference: str) -> str:
    from skewless.monitoring.catalog import words_of_feature

    feature = reference.partition(":")[2]
    return words_of_feature(view, feature).description or str(view.labels["description"])


def _candidates(state: RegistryState, entities: set[str]) -> list[tuple[str, FeatureView]]:
    """Return the current features of some entities that nobody deprecated."""
    gone = {notice.target for notice in state.deprecations}
    found = []
    for name, version in state.current.items():
        view = state.view(name)
        if not isinstance(view, FeatureView) or view.entity.name not in entities:
            continue
        for feature in view.features:
            reference = f"{name}@v{version}:{feature}"
            named = {name, f"{name}@v{version}", f"{name}:{feature}", reference}
            if not named & gone:
                found.append((reference, view))
    return found


def _nearest(
    runtime: Runtime, state: RegistryState, candidates: Sequence[str], pins: Sequence[str]
) -> dict[str, tuple[str, float | None, int]]:
    """Return for each candidate the pinned feature it is most like, how much, over how many."""
    found: dict[str, tuple[str, float | None, int]] = {}
    views = {reference: state.view(*split_reference(reference)[:2]) for reference in
             (*candidates, *pins)}  # fmt: skip
    by_entity: dict[str, list[str]] = {}
    for reference, view in views.items():
        feature = reference.partition(":")[2]
        if isinstance(view, FeatureView) and view.dtypes[feature].kind in _KINDS:
            by_entity.setdefault(view.entity.name, []).append(reference)
    for group in by_entity.values():
        own = [reference for reference in group if reference in pins]
        columns = _values(runtime, state, group) if own else {}
        for reference in group:
            if reference not in columns or reference in pins:
                continue
            compared = [
                (abs(rho), pin, many)
                for pin in own
                if pin in columns
                for rho, many in [_rank_correlation(columns[reference], columns[pin])]
                if rho is not None
            ]
            if compared:
                rho, pin, many = max(compared)
                found[reference] = (pin, round(rho, 4), many)
    return found


def _values(
    runtime: Runtime, state: RegistryState, references: Sequence[str]
) -> dict[str, npt.NDArray[np.float64]]:
    """Return values of entities that are online, as they are answered now; NaN: there is none."""
    import numpy as np

    keys: list[dict[str, Any]] = []
    for reference in references:
        name, version, _ = split_reference(reference)
        view = state.view(name, version)
        if isinstance(view, FeatureView) and not view.constants:
            keys = some_keys(runtime, view, version or 0, ENTITIES)
        if keys:
            break
    if not keys:
        return {}
    lookup = runtime.reader.lookup(list(references), True)
    rows, _, _ = runtime.reader.read(lookup, keys, runtime.clock.now())
    names = [output.reference for output in lookup.selection.outputs]
    return {
        name: np.array([np.nan if row[at] is None else float(row[at]) for row in rows])
        for at, name in enumerate(names)
    }


def _rank_correlation(
    one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]
) -> tuple[float | None, int]:
    """Return Spearman's rank correlation with mean ranks for ties; None: too few, or all the same.

    >>> import numpy as np
    >>> _rank_correlation(np.arange(30.0), -np.arange(30.0) ** 3)
    (-1.0, 30)
    >>> _rank_correlation(np.arange(30.0), np.ones(30))
    (None, 30)
    """
    import numpy as np

    both = ~(np.isnan(one) | np.isnan(other))
    many = int(both.sum())
    if many < FEWEST:
        return None, many
    first, second = (_ranks(values[both]) for values in (one, other))
    first, second = first - first.mean(), second - second.mean()
    size = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return (None, many) if size == 0 else (float((first * second).sum()) / size, many)


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    import numpy as np

    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: npt.NDArray[np.float64] = (ends - (counts - 1) / 2)[place]
    return ranks

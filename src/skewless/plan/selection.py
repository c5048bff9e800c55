"""Which features are asked for, and everything that is needed to answer: pure, from names to plans.

A selection is made once per list of features and serves both a training set (`plan.retrieval`)
and an online read (`plan.lookup`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skewless.definitions import (
    Entity,
    FeatureRef,
    FeatureService,
    FeatureView,
    OnDemandView,
    Request,
)
from skewless.definitions.feature_service import Member, references_of
from skewless.definitions.references import split_reference
from skewless.errors import InputError, UnknownName
from skewless.expressions.on_demand import NeededOnDemand
from skewless.plan.apply.registry_state import RegistryState
from skewless.types import DType

if TYPE_CHECKING:
    import pyarrow as pa

Features = str | Member | FeatureService | Iterable[Member]
"""What users may ask for: a service or its name, a view, references, or a list of these."""


@dataclass(frozen=True)
class Output:
    """One column of the answer.

    Attributes:
        name: of the column.
        view: name of the view, on-demand or not.
        version: of the view.
        feature: its name.
        dtype: its type.
    """

    name: str
    view: str
    version: int
    feature: str
    dtype: DType

    @property
    def reference(self) -> str:
        """The full reference, version included."""
        return f"{self.view}@v{self.version}:{self.feature}"


@dataclass(frozen=True)
class NeededView:
    """A feature view with those of its features that are needed."""

    view: FeatureView
    version: int
    features: tuple[str, ...]

    def reference(self, feature: str) -> str:
        """Return the full reference of a feature, version included."""
        return f"{self.view.name}@v{self.version}:{feature}"


@dataclass(frozen=True)
class Selection:
    """Everything that is needed to answer for a list of features.

    Attributes:
        outputs: the columns of the answer, in the order asked for.
        views: the feature views to read.
        on_demand: the on-demand views to compute, each after those it needs.
        requests: the request fields the caller must give.
        entities: the entities whose join keys the caller must give.
    """

    outputs: tuple[Output, ...]
    views: tuple[NeededView, ...]
    on_demand: tuple[NeededOnDemand, ...]
    requests: tuple[Request, ...]
    entities: tuple[Entity, ...]

    @property
    def asks_now(self) -> bool:
        """Whether an on-demand view needs the moment that is asked about."""
        return any(need.view.asks_now for need in self.on_demand)

    @property
    def join_keys(self) -> dict[str, DType]:
        """Name and type of every join key the caller must give."""
        keys = {key: dtype for entity in self.entities for key, dtype in entity.join_keys}
        return {key: dtype for key, dtype in keys.items() if key not in self.constants}

    @property
    def constants(self) -> dict[str, tuple[Any, DType]]:
        """Name, value and type of the join keys that are bound, see `FeatureView.at`."""
        return {
            key: (view.constants[key], dtype)
            for view in (need.view for need in self.views)
            for key, dtype in view.asked_entity.join_keys
            if key in view.constants
        }

    def constant_columns(self, rows: int) -> dict[str, pa.Array]:
        """Return the join keys that are bound as columns of so many rows."""
        import pyarrow as pa

        return {
            name: pa.repeat(pa.scalar(value, dtype.arrow()), rows)
            for name, (value, dtype) in self.constants.items()
        }


def select(
    state: RegistryState,
    features: Features,
    *,
    full_names: bool = False,
    current: Mapping[str, int] | None = None,
) -> Selection:
    """Return what is needed to answer for ``features``.

    Args:
        state: of the registry.
        features: a feature service or its name, a view, references, or a list of these.
        full_names: whether columns are called ``View__feature`` instead of ``feature``.
        current: for each view the version that is meant where none is named; None: the newest
            applied. A feature that this version lacks is that of the newest applied.

    Raises:
        UnknownName: a view, feature or service that does not exist.
        InputError: nothing is asked for, one feature twice, two columns of one name, or one join
            key of two types.
    """
    needed: dict[tuple[str, int], dict[str, None]] = {}
    on_demand: dict[tuple[str, int], NeededOnDemand] = {}
    meant = {} if current is None else current
    outputs = [
        _resolve(state, _meant(state, reference, meant), needed, on_demand)
        for reference in references(state, features)
    ]
    if not outputs:
        raise InputError(
            "no features are asked for", got="none", expected="'View:feature' or a service"
        )
    views = tuple(
        NeededView(state.views[key], key[1], tuple(names)) for key, names in needed.items()
    )
    requests = {r.name: r for need in on_demand.values() for r in need.view.requests}
    entities = {need.view.asked_entity.join_keys: need.view.asked_entity for need in views}
    _check_keys(entities.values())
    named = _named(outputs, full_names)
    given = {key for entity in entities.values() for key in entity.key_names} | requests.keys()
    for output in named:
        if output.name in given:
            raise InputError(
                f"a feature is named like what is given with a request: {output.name!r}",
                got=output.reference,
                hint="Pass full_names=True to name columns View__feature.",
            )
    return Selection(
        named,
        views,
        tuple(on_demand.values()),
        tuple(requests.values()),
        tuple(entities.values()),
    )


def _check_keys(entities: Iterable[Entity]) -> None:
    """Raise where one join key would have to be of two types: no request could give it."""
    found: dict[str, tuple[Entity, DType]] = {}
    for entity in entities:
        for key, dtype in entity.join_keys:
            other, before = found.setdefault(key, (entity, dtype))
            if before != dtype:
                raise InputError(
                    f"the join key {key!r} would be of two types",
                    got=f"{before!r} of entity {other.name!r} and {dtype!r} of {entity.name!r}",
                    hint=f"Ask for one of them under another name: View.of({key}='...').",
                )


def references(state: RegistryState, features: Features) -> list[str]:
    """Return the references that ``features`` stands for, in order."""
    if isinstance(features, FeatureService):
        applied = features.name in state.services
        return list(state.pins[features.name] if applied else features.references)
    if isinstance(features, str) and ":" not in features:
        if features in state.current:
            return references_of(state.view(features))
        if features not in state.services:
            state.refuse_former(features)
            known = [*state.current, *state.services]
            raise UnknownName.of("view or service", features, known, where=state.place)
        return list(state.service(features))
    if isinstance(features, (str, FeatureView, OnDemandView, FeatureRef)):
        return references_of(features)
    return [ref for member in features for ref in references(state, member)]


def _meant(state: RegistryState, reference: str, current: Mapping[str, int]) -> str:
    """Return a reference with the version that is meant, where it names none."""
    name, asked, feature = split_reference(reference)
    version = current.get(name)
    if asked is not None or version is None or version == state.current.get(name):
        return reference
    known = feature in state.view(name, version).features
    return f"{name}@v{version}:{feature}" if known else reference


def _resolve(
    state: RegistryState,
    reference: str,
    needed: dict[tuple[str, int], dict[str, None]],
    on_demand: dict[tuple[str, int], NeededOnDemand],
) -> Output:
    """Return the column for a reference, noting the views and on-demand views it needs."""
    name, asked, feature = split_reference(reference)
    view = state.view(name, asked)
    version = state.current[name] if asked is None else asked
    dtype = view[feature].dtype
    if isinstance(view, FeatureView):
        needed.setdefault((name, version), {})[feature] = None
    elif (name, version) not in on_demand:
        for ref in view.refs:
            _resolve(state, ref.reference, needed, on_demand)
        on_demand[name, version] = NeededOnDemand(view, version)
    return Output(feature, name, version, feature, dtype)


def _named(outputs: list[Output], full_names: bool) -> tuple[Output, ...]:
    found: dict[str, Output] = {}
    for output in outputs:
        name = f"{output.view}__{output.feature}" if full_names else output.feature
        if name in found:
            clash = found[name]
            if clash.reference == output.reference:
                raise InputError("a feature asked for twice", got=output.reference)
            raise InputError(
                f"two columns would be named {name!r}",
                got=f"{clash.reference} and {output.reference}",
                hint="Pass full_names=True to name columns View__feature.",
            )
        found[name] = Output(name, output.view, output.version, output.feature, output.dtype)
    return tuple(found.values())

"""Feature views: a versioned, owned group of features over one source and one entity.

>>> from skewless.definitions.entity import Entity
>>> from skewless.definitions.source import Source
>>> fab = Entity("fab", fab_id=str)
>>> tests = Source("tests", schema={"fab_id": str, "vdd": float}, event_time="at")
>>> @feature_view(entity=fab, source=tests, owner="test-engineering")
... class FabRolling:
...     "Rolling electrical statistics of a fab."
...     vdd_mean = tests.vdd.mean("1h", "24h")
...     spread = tests.vdd.max("1h") - tests.vdd.min("1h")
>>> FabRolling.features
('vdd_mean_1h', 'vdd_mean_24h', 'spread')
>>> FabRolling.spread
FabRolling:spread
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from datetime import date, timedelta
from typing import Any

from skewless.definitions.aggregate import Aggregate
from skewless.definitions.checks import Check, checked_list
from skewless.definitions.entity import Entity
from skewless.definitions.expressions import (
    Column,
    Expression,
    MultiWindow,
    Request,
    RequestTime,
    expression_from_dict,
)
from skewless.definitions.fingerprint import fingerprint, value_part
from skewless.definitions.freshness import Freshness
from skewless.definitions.naming import checked_name, checked_text
from skewless.definitions.references import FeatureRef
from skewless.definitions.screening import screen_of
from skewless.definitions.source import Source, check_filter, closing
from skewless.definitions.words import Words, former_names, words_dict, words_from_dict
from skewless.durations import parse_duration
from skewless.errors import DefinitionError, UnknownName
from skewless.forks import cached_property
from skewless.types import DType


class FeatureView:
    """A versioned, owned group of features over one source and one entity.

    Usually written with `feature_view`. Its attributes are references to its features.

    Attributes:
        name: of the view.
        entity: what the features describe.
        source: where the rows come from.
        expressions: feature name to what it computes, in order; of columns as the checks of the
            source leave them.
        where: which rows of the source count at all, those left out that its checks set aside.
        on: join key to the column of the source that it is, where that is called otherwise.
        roles: join key to the name under which it is asked for, see `of`.
        bound: join key to its fixed value, see `at`.
        freshness: the age of the newest event that the owner promised, microseconds.
        words: feature name to what `Expression.describe` said of it.
    """

    def __init__(
        self,
        name: str,
        *,
        entity: Entity,
        source: Source,
        features: Mapping[str, Expression],
        where: Expression | None = None,
        closed: str | None = None,
        on: Mapping[str, str] | None = None,
        lag: str | timedelta | None = None,
        **labels: Any,
    ) -> None:
        self.name = checked_name(name, "feature view")
        self.entity = entity
        self.source = source
        self._closed = closed
        self.where = where
        self.labels = checked_labels(name, labels)
        handed: tuple[object, object] = (entity, source)
        if not isinstance(handed[0], Entity) or not isinstance(handed[1], Source):
            raise DefinitionError(
                f"feature view {name!r} needs an entity and a source",
                got=f"{entity!r:.60} ({type(entity).__name__}) and {source!r:.60}"
                f" ({type(source).__name__})",
            )
        self.on = _checked_keys(entity, on, "on", name)
        self.roles: dict[str, str] = {}
        self.bound: dict[str, Any] = {}
        self.expressions = fan_out(name, features)
        if any(isinstance(given, MultiWindow) and given.all_columns for given in features.values()):
            for key in self.row_entity.key_names:  # known to whoever asks
                self.expressions.pop(key, None)
        self.words = words_of(self.expressions)
        if lag is not None:
            back = parse_duration(lag, what="a lag")
            self.expressions = {n: _lagged(e, back) for n, e in self.expressions.items()}
        self._check()
        for check in self.checks:
            if check.kind in ("expr", "fresh"):
                got = f"{check.kind} of view {name!r}"
                raise DefinitionError("a check of a source, not of features", got=got)
            if check.is_of_values:
                raise DefinitionError(
                    f"a check of features does not {check.action}", got=f"of view {name!r}",
                    hint="Rows and columns are set aside and altered in checks of the source.",
                )  # fmt: skip
        self.source = closing(source, closed)
        self._screened()

    def _screened(self) -> None:
        """Take in what the checks of the source keep out of features."""
        self._written = (self.where, self.expressions)
        if screen := screen_of(self.source):
            screen.check_keys(self.row_entity.key_names, f"feature view {self.name!r}")
            self.where = screen.where(self.where)
            self.expressions = {n: screen.applied(e) for n, e in self.expressions.items()}

    def _check(self) -> None:
        place = f"feature view {self.name!r}"
        for key, dtype in self.row_entity.join_keys:
            if key not in self.source.columns:
                problem = UnknownName.of(
                    "column", key, self.source.columns, where=f"source {self.source.name!r}"
                )
                said = f"{problem.hint} Is the key called otherwise there? on={{{key!r}: 'column'}}"
                raise UnknownName(problem.what, hint=said)
            if self.source.columns[key].kind != dtype.kind:
                raise DefinitionError(
                    f"join key {key!r} of {place}",
                    got=f"{self.source.columns[key]!r} in source {self.source.name!r}",
                    expected=repr(dtype),
                )
        if self.where is not None:
            check_filter(self.where, self.source.name)
        former_names(self.words, self.expressions, place)
        for feature, expression in self.expressions.items():
            if feature in self.asked_entity.key_names:
                raise DefinitionError(f"{place} has a feature named like its join key {feature!r}")
            self._check_feature(f"feature {self.name}:{feature}", expression)

    def _check_feature(self, place: str, expression: Expression) -> None:
        for leaf in expression.leaves():
            if isinstance(leaf, Column):
                raise DefinitionError(
                    f"{place} is a column, not an aggregation of one",
                    got=repr(leaf),
                    hint=f"Did you mean {leaf!r}.latest()?",
                )
            if isinstance(leaf, (FeatureRef, Request, RequestTime)):
                raise DefinitionError(
                    f"{place} takes from outside its source",
                    got=repr(leaf),
                    hint="Features over other features or request fields are written with "
                    "@sl.on_demand.",
                )
            if isinstance(leaf, Aggregate) and leaf.source != self.source.name:
                raise DefinitionError(
                    f"{place} is over another source",
                    got=f"source {leaf.source!r}",
                    expected=f"source {self.source.name!r}",
                )

    @cached_property
    def row_entity(self) -> Entity:
        """The entity with its join keys named as the columns of the source are."""
        return self.entity.renamed(self.on)

    @cached_property
    def asked_entity(self) -> Entity:
        """The entity with its join keys named as whoever asks gives them; see `of` and `at`."""
        return self.entity.renamed(
            self.roles | {k: bound_name(k, v) for k, v in self.bound.items()}
        )

    @cached_property
    def constants(self) -> dict[str, Any]:
        """What stands for join keys that are bound, by their names in `asked_entity`."""
        return {bound_name(key, value): value for key, value in self.bound.items()}

    @property
    def is_role(self) -> bool:
        """Whether it is another view in a role or at fixed keys, see `of` and `at`."""
        return bool(self.roles or self.bound)

    def of(self, *, prefix: str = "", **roles: str) -> FeatureView:
        """Return the view in a role: its join keys are asked for under other names.

        The role is a view of its own, with the states of this one; apply it (or a service that has
        it) like any other.

        Args:
            prefix: before the names of its features: two roles of a view in one vector need it.
            roles: join key = the name under which it is asked for.

        Raises:
            DefinitionError: no such join key, or names that clash.

        Example:
            >>> import skewless as sl
            >>> pays = sl.Source("pays", schema={"user": str, "amount": float}, event_time="at")
            >>> user = sl.Entity("user", user=str)
            >>> spend = sl.FeatureView(
            ...     "Spend", entity=user, source=pays, features={"total": pays.amount.sum("1d")}
            ... )
            >>> spend.of(user="seller", prefix="seller_")
            FeatureView(Spend_seller: 1 features of user)
        """
        _checked_keys(self.entity, roles, "of", self.name)
        names = [checked_name(name, "join key") for name in roles.values()]
        label = prefix.strip("_") or "_".join(names)
        return self._in_role(f"{self.name}_{label}", prefix, {**self.roles, **roles}, self.bound)

    def at(self, *, prefix: str = "", **keys: Any) -> FeatureView:
        """Return the view at fixed join keys: nobody has to give them.

        Args:
            prefix: before the names of its features: the view at two keys in one vector needs it.
            keys: join key = its value.

        Raises:
            DefinitionError: no such join key, or a value that it cannot have.
        """
        types = dict(self.entity.join_keys)
        _checked_keys(self.entity, dict.fromkeys(keys, "key"), "at", self.name)
        try:
            bound = {key: types[key].coerce(value) for key, value in keys.items()}
        except ValueError as problem:
            raise DefinitionError(f"no key of {self.name}", got=str(problem)) from None
        if None in bound.values():
            raise DefinitionError(f"a null key of {self.name} names no entity")
        label = prefix.strip("_") or "_".join(re.sub(r"\W", "_", str(v)) for v in bound.values())
        return self._in_role(f"{self.name}_{label}", prefix, self.roles, {**self.bound, **bound})

    def _keyed(self, roles: dict[str, str], bound: dict[str, Any]) -> FeatureView:
        """Take roles and fixed keys; what follows from them is recomputed."""
        for cached in ("asked_entity", "constants", "features", "dtypes"):
            self.__dict__.pop(cached, None)
        self.roles, self.bound = roles, bound
        return self

    def _in_role(
        self, name: str, prefix: str, roles: dict[str, str], bound: dict[str, Any]
    ) -> FeatureView:
        made = copy(self)._keyed(roles, bound)
        made.name = checked_name(name, "feature view")
        if was := self.labels.get("was"):
            made.labels = {**self.labels, "was": was + name.removeprefix(self.name)}
        made.expressions = {prefix + f: e for f, e in self.expressions.items()}
        where, written = self._written
        made._written = (where, {prefix + f: e for f, e in written.items()})
        made.words = {prefix + f: words.prefixed(prefix) for f, words in self.words.items()}
        made._check()
        return made

    def as_source(self, name: str | None, labels: Mapping[str, Any]) -> Source:
        """Return the source of the values of the view; see `Source.of`."""
        from skewless.definitions.values_of import values_of

        return values_of(self, name, labels)

    @cached_property
    def features(self) -> tuple[str, ...]:
        """The names of the features, in order."""
        return tuple(self.expressions)

    @cached_property
    def dtypes(self) -> Mapping[str, DType]:
        """Feature name to type, in order."""
        return {name: expression.dtype for name, expression in self.expressions.items()}

    @property
    def checks(self) -> tuple[Check, ...]:
        """What is expected of the features."""
        given = map(Check.from_dict, self.labels.get("checks", ()))
        return tuple(check.fitted(self.dtypes, f"view {self.name!r}") for check in given)

    @cached_property
    def aggregates(self) -> tuple[Aggregate, ...]:
        """The distinct aggregates the features are made of, in order of first use."""
        found: dict[str, Aggregate] = {}
        for expression in self.expressions.values():
            for leaf in expression.leaves():
                if isinstance(leaf, Aggregate):
                    found.setdefault(leaf.key, leaf)
        return tuple(found.values())

    @property
    def fingerprint(self) -> str:
        """Hash of everything that changes values."""
        data = value_part(self.to_dict())
        data.pop("closed", None)  # the source as the view sees it carries it
        source = value_part(self.source.to_dict())
        for place in ("table", "stream", "future", "extra", "function"):
            source.pop(place, None)
        source.pop("schema")  # the columns in use carry their types themselves
        if source.pop("screens", None):
            data |= _computed(self.where, self.expressions)
        keys = [[key, dtype.to_dict()] for key, dtype in self.entity.join_keys]
        return fingerprint([data, source, keys])

    def __getattr__(self, name: str) -> FeatureRef:
        if name.startswith("_") or "expressions" not in self.__dict__:
            raise AttributeError(name)
        try:
            return self[name]
        except UnknownName as problem:
            raise problem.as_attribute() from None

    def __getitem__(self, name: str) -> FeatureRef:
        """Return the reference to a feature; the form for names that clash."""
        if name not in self.expressions:
            raise unknown_feature(self.name, name, self.features, self.words)
        return FeatureRef(self.name, name, self.expressions[name].dtype)

    def to_dict(self) -> dict[str, Any]:
        """Return the view as plain data; source and entity by name."""
        return {
            "name": self.name,
            "entity": self.entity.name,
            "source": self.source.name,
            **_computed(*self._written),
            **({} if self._closed is None else {"closed": self._closed}),
            **{key: v for key in _KEYS if (v := getattr(self, key))},
            **words_dict(self.words),
            **self.labels,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any], entity: Entity, source: Source) -> FeatureView:
        """Return the view that `to_dict` wrote."""
        known = {"name", "entity", "source", "where", "features", "words", "roles", "bound"}
        where = data["where"]
        made = cls(
            data["name"],
            entity=entity,
            source=source,
            features={
                name: expression_from_dict(expression, source.name)
                for name, expression in data["features"].items()
            },
            where=None if where is None else expression_from_dict(where, source.name),
            **{key: value for key, value in data.items() if key not in known},
        )
        made.words = words_from_dict(data)
        return made._keyed(data.get("roles", {}), data.get("bound", {}))

    def __repr__(self) -> str:
        return f"FeatureView({self.name}: {len(self.features)} features of {self.entity.name})"


def feature_view(
    *,
    entity: Entity,
    source: Source,
    where: Expression | None = None,
    closed: str | None = None,
    on: Mapping[str, str] | None = None,
    lag: str | timedelta | None = None,
    **labels: Any,
) -> Callable[[type], FeatureView]:
    """Make a feature view of a class: its attributes are the features, its docstring describes.

    Args:
        entity: what the features describe.
        source: where the rows come from.
        where: which rows count at all.
        closed: ``"left"`` or ``"right"``, where it is not as the source says.
        on: join key = the column of the source that it is, where that is called otherwise.
        lag: how far back all windows of the view end: ``lag="1h"`` counts what happened an hour
            ago and before, in training sets and for live rows alike.
        labels: ``owner``, ``tags``, ``freshness`` ("5m", the promised age of the newest event, or a
            `Freshness`), ``deprecated`` (a reason), ``sunset`` (a date), ``checks`` (what is
            expected of its features, see `Check`), ``was`` (its name of before, where it is
            renamed); outside the fingerprint.

    Raises:
        DefinitionError: anything in the class is no feature, or wrong.
    """

    def make(cls: type) -> FeatureView:
        described = {"description": (cls.__doc__ or "").strip(), **labels}
        features = attributes_of(cls, "feature view")
        made = FeatureView(
            cls.__name__,
            entity=entity,
            source=source,
            where=where,
            closed=closed,
            on=on,
            lag=lag,
            features=features,
            **described,
        )
        check_reachable(made, features)
        return made

    return make


def attributes_of(cls: type, kind: str) -> dict[str, Expression]:
    """Return the expressions among a class's attributes; anything else public is an error."""
    found = {}
    for name, value in vars(cls).items():
        if name.startswith("_"):
            continue
        if not isinstance(value, Expression):
            raise DefinitionError(
                f"{name!r} in {kind} {cls.__name__!r} is no feature",
                got=repr(value),
                expected="an aggregation such as tests.vdd.mean('1h'), or an expression over such",
            )
        found[name] = value
    return found


def check_reachable(view: Any, features: Mapping[str, Expression]) -> None:
    """Raise `DefinitionError` where a feature of a class is named like an attribute of views."""
    for name in features:
        if name in vars(view) or hasattr(type(view), name):
            raise DefinitionError(
                f"{view.name}.{name} is an attribute of every view and would hide the feature",
                got=f"a feature named {name!r}",
                hint=f"Call it otherwise; with features={{{name!r}: ...}} instead of a class it "
                f"is {view.name}[{name!r}].",
            )


def bound_name(key: str, value: Any) -> str:
    """Return the name of a join key at a fixed value: nobody who asks for others can say it."""
    return f"\0{key}={value!r}"


def _checked_keys(
    entity: Entity, given: Mapping[str, str] | None, what: str, view: str
) -> dict[str, str]:
    """Return names for some join keys of an entity; a name twice, or of no key, is an error."""
    found = dict(given or {})
    for key, name in found.items():
        if key not in entity.key_names:
            raise UnknownName.of("join key", key, entity.key_names, where=f"entity {entity.name!r}")
        if not isinstance(name, str):
            raise DefinitionError(f"{what}= of {view} names no column", got=repr(name))
    names = entity.renamed(found).key_names
    if len(set(names)) < len(names) and what != "at":
        raise DefinitionError(f"{what}= of {view} names one thing twice", got=", ".join(names))
    return found


def _computed(where: Expression | None, features: Mapping[str, Expression]) -> dict[str, Any]:
    """Return filter and features as plain data."""
    return {
        "where": None if where is None else where.to_dict(),
        "features": {name: expression.to_dict() for name, expression in features.items()},
    }


def _lagged(expression: Expression, back: int) -> Expression:
    """Return an expression whose windows all end so many microseconds earlier."""
    return expression.replace_leaves(
        lambda leaf: leaf.lagged(back) if isinstance(leaf, Aggregate) else leaf
    )


def unknown_feature(
    view: str, name: str, features: Sequence[str], words: Mapping[str, Words]
) -> UnknownName:
    """Return the error for a feature that a view does not have, or has under another name."""
    now = [feature for feature, said in words.items() if said.was == name]
    if now:
        hint = f"It is {view}:{now[0]} now."
        return UnknownName(f"feature {view}:{name} was renamed", got=name, hint=hint)
    return UnknownName.of("feature", name, features, where=f"view {view!r}")


def words_of(expressions: Mapping[str, Expression]) -> dict[str, Words]:
    """Return what is said of each feature, where something is."""
    return {name: e.words for name, e in expressions.items() if e.words}


def fan_out(view: str, features: Mapping[str, Expression]) -> dict[str, Expression]:
    """Return one expression per feature name; several windows become several names."""
    found: dict[str, Expression] = {}
    if not isinstance(features, Mapping):
        raise DefinitionError(
            f"the features of {view} are no mapping",
            got=f"{features!r:.60} ({type(features).__name__})",
            expected="{name: aggregation}",
        )
    for name, expression in features.items():
        if not isinstance(expression, Expression):
            raise DefinitionError(
                f"{name!r} of {view} is no feature",
                got=f"{expression!r:.60} ({type(expression).__name__})",
                expected="an aggregation such as tests.vdd.mean('1h'), or an expression over such",
            )
        named = (
            expression.named(name) if isinstance(expression, MultiWindow) else {name: expression}
        )
        for feature, member in named.items():
            checked_name(feature, f"feature of {view}")
            if feature in found:
                raise DefinitionError(f"{view} has two features named {feature!r}")
            found[feature] = member
    if not found:
        raise DefinitionError(f"{view} has no features")
    return found


_KEYS = ("on", "roles", "bound")
_LABELS: dict[str, Any] = {"owner": "", "description": "", "tags": {}, "freshness": None}
_OPTIONAL = ("promise", "deprecated", "sunset", "checks", "was")


def _as_checks(given: Any, name: str) -> list[dict[str, Any]]:
    """Return checks as plain data."""
    given = given if isinstance(given, (list, tuple)) else [given]
    checks = [Check.from_dict(each) if isinstance(each, dict) else each for each in given]
    return [each.to_dict() for each in checked_list(checks, f"{name!r}")]


def checked_labels(name: str, labels: dict[str, Any]) -> dict[str, Any]:
    """Return what describes a definition, in canonical form."""
    for label in labels:
        if label not in (*_LABELS, *_OPTIONAL):
            raise UnknownName.of("option", label, (*_LABELS, *_OPTIONAL), where=f"{name!r}")
    promise = labels.get("freshness")
    if isinstance(promise, Freshness):
        labels = {**labels, "freshness": promise.error, "promise": promise.to_dict() or None}
    found = {key: labels.get(key, default) for key, default in _LABELS.items()}
    for label in ("owner", "description"):
        found[label] = checked_text(found[label], label, repr(name))
    if found["freshness"] is not None and type(found["freshness"]) is not int:
        found["freshness"] = parse_duration(found["freshness"], what="a freshness")
    if not isinstance(found["tags"], Mapping):
        raise DefinitionError(f"the tags of {name!r} are no mapping", got=repr(found["tags"]))
    found["tags"] = dict(found["tags"])
    for key in _OPTIONAL:
        if labels.get(key) is not None:
            value = labels[key]
            found[key] = value.isoformat() if isinstance(value, date) else value
            if key == "checks":
                found[key] = _as_checks(value, name)
            if key in ("deprecated", "was"):
                checked_text(value, key, repr(name))
    if "sunset" in found:
        try:
            date.fromisoformat(found["sunset"])
        except (TypeError, ValueError):
            raise DefinitionError(
                f"the sunset of {name!r} is no date", got=found["sunset"], expected="2027-06-30"
            ) from None
    return found

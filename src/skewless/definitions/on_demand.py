"""On-demand features: computed at request time from other features and request fields.

As expressions:

>>> from skewless.definitions.entity import Entity
>>> from skewless.definitions.source import Source
>>> from skewless.definitions.feature_view import feature_view
>>> card = Entity("card", card_id=str)
>>> payments = Source("payments", schema={"card_id": str, "amount": float}, event_time="at")
>>> @feature_view(entity=card, source=payments)
... class Spend:
...     mean = payments.amount.mean("7d")
>>> amount = Request("amount", float)
>>> @on_demand
... class Payment:
...     ratio = amount / Spend.mean
>>> Payment.ratio
Payment:ratio

As a function over columns (NumPy arrays, nulls as NaN or None), for what operators cannot say:

>>> @on_demand(inputs={"amount": amount, "mean": Spend.mean}, returns={"surprise": float})
... def Surprise(amount, mean):
...     return {"surprise": abs(amount - mean) ** 1.5}
>>> Surprise.features
('surprise',)
"""

from __future__ import annotations

import hashlib
import inspect
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, overload

from skewless.definitions.aggregate import Aggregate
from skewless.definitions.expressions import (
    Column,
    Expression,
    Request,
    RequestTime,
    expression_from_dict,
)
from skewless.definitions.feature_view import (
    attributes_of,
    check_reachable,
    checked_labels,
    fan_out,
    unknown_feature,
    words_of,
)
from skewless.definitions.fingerprint import fingerprint, value_part
from skewless.definitions.lookup import LookedUp  # noqa: F401 - is read back with on-demand views
from skewless.definitions.naming import checked_name
from skewless.definitions.references import FeatureRef
from skewless.definitions.words import former_names, typed_and_words, words_dict, words_from_dict
from skewless.errors import DefinitionError, UnknownName
from skewless.forks import cached_property
from skewless.types import DType, dtype_from_dict, dtype_of

Function = Callable[..., Mapping[str, Any]]


class OnDemandView:
    """A group of features computed at request time from features and request fields.

    Attributes:
        name: of the group.
        expressions: feature name to expression; empty when it is a function.
        inputs: argument name to feature or request field; empty when it is expressions.
        dtypes: feature name to type.
        words: feature name to what is said of it.
        function: the function over columns, or None.
        function_path: ``module:name`` the function is found at.
    """

    def __init__(
        self,
        name: str,
        *,
        features: Mapping[str, Expression] | None = None,
        inputs: Mapping[str, Expression] | None = None,
        returns: Mapping[str, object] | None = None,
        function: Function | None = None,
        code: dict[str, str] | None = None,
        **labels: Any,
    ) -> None:
        self.name = checked_name(name, "on-demand view")
        self.labels = checked_labels(name, labels)
        self.expressions = fan_out(name, features) if features is not None else {}
        self.inputs = dict(inputs or {})
        self.function = function
        self.code = code or {}
        types, said = typed_and_words(returns or {})
        self.words = said if features is None else words_of(self.expressions)
        self.dtypes: dict[str, DType] = (
            {feature: dtype_of(dtype) for feature, dtype in types.items()}
            if features is None
            else {feature: e.dtype for feature, e in self.expressions.items()}
        )
        self._check()

    def _check(self) -> None:
        where = f"on-demand view {self.name!r}"
        if former_names(self.words, self.dtypes, where) and not self.expressions:
            hint = "The function returns it under its name: a new feature beside the old one."
            raise DefinitionError(f"features of the function {self.name!r} have no was=", hint=hint)
        for leaf in self.leaves:
            if isinstance(leaf, (Column, Aggregate)):
                raise DefinitionError(
                    f"on-demand view {self.name!r} takes features and request fields",
                    got=repr(leaf),
                    hint="Define the aggregation in a feature view and refer to it: View.feature.",
                )
        if not self.dtypes:
            raise DefinitionError(f"on-demand view {self.name!r} has no features")
        kinds: dict[str, DType] = {}
        for field, dtype in ((x.name, x.dtype) for x in self.leaves if isinstance(x, Request)):
            if kinds.setdefault(field, dtype) != dtype:
                raise DefinitionError(f"request field {field!r} has two types in {self.name!r}")

    @cached_property
    def leaves(self) -> tuple[Expression, ...]:
        """Everything the features are computed from."""
        from_inputs = tuple(self.inputs.values())
        return from_inputs + tuple(
            leaf for expression in self.expressions.values() for leaf in expression.leaves()
        )

    @cached_property
    def asks_now(self) -> bool:
        """Whether the moment asked about is needed."""
        return any(isinstance(leaf, RequestTime) for leaf in self.leaves)

    @cached_property
    def requests(self) -> tuple[Request, ...]:
        """The request fields that are needed."""
        return tuple({x.name: x for x in self.leaves if isinstance(x, Request)}.values())

    @cached_property
    def refs(self) -> tuple[FeatureRef, ...]:
        """The features that are needed."""
        found = {x.reference: x for x in self.leaves if isinstance(x, FeatureRef)}
        return tuple(found.values())

    @cached_property
    def features(self) -> tuple[str, ...]:
        """The names of the features, in order."""
        return tuple(self.dtypes)

    @property
    def fingerprint(self) -> str:
        """Hash of everything that changes values; of a function, its source text."""
        return fingerprint(value_part(self.to_dict()))

    def __getattr__(self, name: str) -> FeatureRef:
        if name.startswith("_") or "dtypes" not in self.__dict__:
            raise AttributeError(name)
        try:
            return self[name]
        except UnknownName as problem:
            raise problem.as_attribute() from None

    def __getitem__(self, name: str) -> FeatureRef:
        """Return the reference to a feature; the form for names that clash."""
        if name not in self.dtypes:
            raise unknown_feature(self.name, name, self.features, self.words)
        return FeatureRef(self.name, name, self.dtypes[name])

    def to_dict(self) -> dict[str, Any]:
        """Return the view as plain data; a function by its path and the hash of its text."""
        return {
            "name": self.name,
            "features": {name: e.to_dict() for name, e in self.expressions.items()},
            "inputs": {name: e.to_dict() for name, e in self.inputs.items()},
            "returns": {name: dtype.to_dict() for name, dtype in self.dtypes.items()},
            "code": self.code,
            **words_dict(self.words),
            **self.labels,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any], function: Function | None = None) -> OnDemandView:
        """Return the view that `to_dict` wrote."""
        known = {"name", "features", "inputs", "returns", "code", "words"}
        labels = {key: value for key, value in data.items() if key not in known}
        if not data["code"]:
            features = {n: expression_from_dict(e) for n, e in data["features"].items()}
            made = cls(data["name"], features=features, **labels)
            made.words = words_from_dict(data)
            return made
        code = data["code"]
        if set(code) != {"path", "hash"} or not all(isinstance(code[key], str) for key in code):
            raise DefinitionError("not the place of a function", got=f"{code!r:.60}")
        made = cls(
            data["name"],
            inputs={name: expression_from_dict(e) for name, e in data["inputs"].items()},
            returns={name: dtype_from_dict(d) for name, d in data["returns"].items()},
            function=function,
            code=code,
            **labels,
        )
        made.words = words_from_dict(data)
        return made

    def __repr__(self) -> str:
        return f"OnDemandView({self.name}: {', '.join(self.features)})"


@overload
def on_demand(target: type) -> OnDemandView: ...
@overload
def on_demand(
    target: None = None,
    *,
    inputs: Mapping[str, Expression] | None = None,
    returns: Mapping[str, object] | None = None,
    **labels: Any,
) -> Callable[[Any], OnDemandView]: ...
def on_demand(
    target: Any = None,
    *,
    inputs: Mapping[str, Expression] | None = None,
    returns: Mapping[str, object] | None = None,
    **labels: Any,
) -> Any:
    """Make on-demand features of a class of expressions, or of a function over columns.

    Args:
        target: the class, when used without brackets.
        inputs: for a function: argument name to a feature or a `Request` field.
        returns: for a function: feature name to type, or `sl.Column` with words. The function
            returns a mapping of these to columns as long as its arguments, or, for one feature, the
            column itself. It must work element by element, so that one row alone gets the value it
            gets among many.
        labels: ``owner``, ``tags``, ``description``, ``deprecated``, ``sunset``, ``was``.

    Raises:
        DefinitionError: the class or function cannot be made into features.
    """

    def make(thing: Any) -> OnDemandView:
        described = {"description": inspect.getdoc(thing) or "", **labels}
        if isinstance(thing, type):
            features = attributes_of(thing, "on-demand view")
            made = OnDemandView(thing.__name__, features=features, **described)
            check_reachable(made, features)
            return made
        if not inputs or not returns:
            raise DefinitionError(
                f"on-demand function {thing.__name__!r} needs inputs and returns",
                expected="@sl.on_demand(inputs={'x': View.feature}, returns={'y': float})",
            )
        return OnDemandView(
            thing.__name__,
            inputs=inputs,
            returns=returns,
            function=thing,
            code=code_of(thing),
            **described,
        )

    return make if target is None else make(target)


def code_of(function: Function) -> dict[str, str]:
    """Return where a function is found and the hash of its text."""
    try:
        text = inspect.getsource(function)
    except OSError:
        text = function.__code__.co_code.hex() + repr(function.__code__.co_consts)
    return {
        "path": f"{function.__module__}:{function.__qualname__}",
        "hash": hash_of_text(text),
    }


def hash_of_text(text: str) -> str:
    """Return the hash of a function's text; its decorators do not count."""
    text = textwrap.dedent(text)
    body = text[text.index("def ") :] if "def " in text else text
    return hashlib.sha256(body.encode()).hexdigest()[:16]

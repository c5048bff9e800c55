"""What is personal in a feature: the classes of the columns it is made of, along the lineage. Pure.

>>> import skewless as sl
>>> from skewless.definitions.repo import Definitions
>>> from skewless.plan.apply.diff import diff
>>> card = sl.Entity("card", card_id=str)
>>> pays = sl.Source(
...     "pays", event_time="at",
...     schema={"card_id": str, "amount": sl.Column(float, pii="sensitive"), "shop": str},
... )
>>> view = sl.FeatureView("Spend", entity=card, source=pays, features={
...     "total": pays.amount.sum("1h"),
...     "mean": pays.amount.mean("1h").declassify("rounded for the shop's own report"),
...     "shops": pays.shop.n_unique("1h"),
... })
>>> plan = diff(RegistryState(), Definitions.of(view))
>>> found = personal(RegistryState(records=plan.writes))
>>> found["Spend@v1:total"], list(found)
(Personal(classes=frozenset({'sensitive'}), columns=('pays.amount',)), ['Spend@v1:total'])

A class goes from a column to every feature that depends on it, directly or because it decides which
rows count, through derived sources and on-demand features, until `Expression.declassify` ends it
with a reason. It does not go along the join key (who asks for a value names the entity) nor along
the row id that corrections go by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from skewless.definitions.words import Words
from skewless.lineage.columns import CORRECTED, Node, column_node, feature_node
from skewless.lineage.graph import defined_edges
from skewless.plan.apply.registry_state import RegistryState


@dataclass(frozen=True)
class Personal:
    """What is personal in a feature.

    Attributes:
        classes: of `skewless.definitions.grant.CLASSES`.
        columns: those it has them of, ``source.column``.
    """

    classes: frozenset[str] = field(default_factory=frozenset)
    columns: tuple[str, ...] = ()

    @property
    def pii(self) -> str | None:
        """The class of personal data that says most of a person; None: it is none."""
        return next((each for each in ("direct", "sensitive", "quasi") if each in self.classes),
                    None)  # fmt: skip

    @property
    def is_hidden(self) -> bool:
        """Whether its values are not to be listed where nobody asked for an entity."""
        return bool(self.classes - {"mnpi"})


def personal(state: RegistryState) -> Mapping[str, Personal]:
    """Return what is personal, by reference with version (``Spend@v1:total``); others are not."""
    inputs = _inputs(state)
    said = _said_of_columns(state)
    features, ended = _features(state)
    found = {}
    for node, own in features.items():
        columns = {} if node in ended else _behind(node, inputs, said, ended, features)
        classes = own.union(*columns.values())
        if classes:
            found[node.name] = Personal(classes, tuple(columns))
    return found


def features_behind(state: RegistryState) -> Mapping[str, frozenset[str]]:
    """Return the features that each feature is made of, until one is declassified.

    Both by reference with version, every feature that serves.
    """
    inputs, (features, ended) = _inputs(state), _features(state)
    found = {}
    for node in features:
        seen, todo = {node}, [] if node in ended else [node]
        while todo:
            more = [source for source in inputs.get(todo.pop(), ()) if source not in seen]
            seen.update(more)
            todo += [source for source in more if source not in ended]
        found[node.name] = frozenset(n.name for n in seen if n in features and n != node)
    return found


def _inputs(state: RegistryState) -> dict[Node, list[Node]]:
    """Return what each column and feature depends on, keys and row ids apart."""
    inputs: dict[Node, list[Node]] = {}
    for edge in defined_edges(state):
        if edge.how.subtype != "JOIN" and edge.how != CORRECTED:
            inputs.setdefault(edge.target, []).append(edge.source)
    return inputs


def _features(state: RegistryState) -> tuple[dict[Node, frozenset[str]], set[Node]]:
    """Return every feature with the classes that its words name, and those declassified."""
    features, ended = {}, set()
    for name, version in state.fingerprints:
        view = state.view(name, version)
        for feature in view.features:
            node = feature_node(name, version, feature)
            words = view.words.get(feature, Words())
            features[node] = frozenset(_classes(words))
            if words.declassified:
                ended.add(node)
    return features, ended


def _behind(
    node: Node,
    inputs: Mapping[Node, Iterable[Node]],
    said: Mapping[Node, frozenset[str]],
    ended: set[Node],
    features: Mapping[Node, frozenset[str]],
) -> dict[str, frozenset[str]]:
    """Return what a feature is made of that is personal, with the classes of each."""
    found: dict[str, frozenset[str]] = {}
    seen, todo = {node}, [node]
    while todo:
        for source in inputs.get(todo.pop(), ()):
            if source in seen:
                continue
            seen.add(source)
            if classes := said.get(source) or features.get(source):
                found[source.name] = classes
            if source not in ended:
                todo.append(source)
    return found


def _said_of_columns(state: RegistryState) -> dict[Node, frozenset[str]]:
    """Return the classes of columns: as sources say, and of join keys as their entities do."""
    found: dict[Node, frozenset[str]] = {}
    for source in state.sources.values():
        for column, words in source.words.items():
            _add(found, column_node(source.name, column), words)
    for view in state.views.values():
        for key, column in zip(view.entity.key_names, view.row_entity.key_names, strict=True):
            if key in view.entity.words:
                _add(found, column_node(view.source.name, column), view.entity.words[key])
    return found


def _add(found: dict[Node, frozenset[str]], node: Node, words: Words) -> None:
    if classes := frozenset(_classes(words)):
        found[node] = found.get(node, frozenset()) | classes


def _classes(words: Words) -> list[str]:
    """Return the classes that words name."""
    named = [words.pii] if words.pii else []
    return named + [name for name in ("phi", "mnpi") if getattr(words, name)]

"""What there is, as plain data and as text: ``skewless list`` and ``show``, ``GET /v1/views``.

    listing(state)                  # a line for each definition that is current
    print(entry_of(state, "Spend:total_1h"))

Nothing here has addresses or settings of stores: it is what everybody may read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from skewless.definitions import (
    Aggregate,
    Entity,
    FeatureService,
    FeatureView,
    OnDemandView,
    Source,
)
from skewless.definitions.references import split_view
from skewless.definitions.words import Words, words_dict
from skewless.durations import format_duration
from skewless.errors import UnknownName
from skewless.formatting import Drawn, aligned, count_of
from skewless.plan.apply.derived import derived_lines
from skewless.plan.apply.registry_state import RegistryState, View
from skewless.types import DType

_LABELS = ("owner", "description", "tags", "deprecated", "sunset")
_SECTIONS = ("join keys", "columns", "features")


@dataclass(frozen=True)
class CatalogEntry(Drawn):
    """One definition or feature, as the catalogue has it; it prints as text.

    Attributes:
        kind: entity, source, feature view, on-demand view, feature service or feature.
        name: of it; of a view with its version.
        data: what is said of it.
    """

    kind: str
    name: str
    data: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the entry as plain data."""
        return {"kind": self.kind, "name": self.name, **self.data}

    def __str__(self) -> str:
        lines = [f"{self.kind} {self.name}"]
        facts = [
            (key.replace("_", " "), _text(value))
            for key, value in self.data.items()
            if not isinstance(value, dict) or key == "tags"
        ]
        facts = [(key, text) for key, text in facts if text and key not in ("name", "kind")]
        if facts:
            width = max(len(key) for key, _ in facts)
            lines += [f"  {key:<{width}}  {text}" for key, text in facts]
        for section in _SECTIONS:
            rows = list(_rows(self.data, section))
            if rows:
                lines += ["", aligned([_head(section), *rows], indent=2)]
        return "\n".join(lines)


def listing(state: RegistryState) -> list[dict[str, Any]]:
    """Return an entry for each current definition: kind, name, what it is about, owner, words."""
    found = []
    for name, entity in sorted(state.entities.items()):
        keys = ", ".join(f"{key} {dtype!r}" for key, dtype in entity.join_keys)
        found.append(_line("entity", name, keys, "", entity.description))
    for name, source in sorted(state.sources.items()):
        about = f"{len(source.columns)} columns"
        found.append(_line("source", name, about, source.owner, source.description))
    for name in sorted(state.current):
        view = state.view(name)
        kind = "feature view" if isinstance(view, FeatureView) else "on-demand view"
        of = f" of {view.entity.name}" if isinstance(view, FeatureView) else ""
        about = f"{count_of(len(view.features), 'feature')}{of}"
        labels, label = view.labels, f"{name}@v{state.current[name]}"
        found.append(_line(kind, label, about, labels["owner"], labels["description"]))
    for name, service in sorted(state.services.items()):
        about, labels = count_of(len(state.pins[name]), "feature"), service.labels
        line = _line("feature service", name, about, labels["owner"], labels["description"])
        found.append(line)
    return found


def entry_of(state: RegistryState, name: str) -> CatalogEntry:
    """Return what there is to know of a definition or feature, by its name.

    Args:
        state: of the registry.
        name: of an entity, source, view (``Spend``, ``Spend@v1``), feature (``Spend:total_1h``)
            or feature service. Where several kinds share a name, views come first, then services,
            sources, entities.

    Raises:
        UnknownName: there is nothing of the name.
    """
    if ":" in name:
        reference = state.feature(name)
        view = state.view(reference.view, reference.version)
        return CatalogEntry("feature", reference.reference, _feature_of(state, view, reference))
    bare, version = split_view(name)
    if bare in state.current or version is not None:
        number = state.current[bare] if version is None else version
        view = state.view(bare, number)
        make = view_entry if isinstance(view, FeatureView) else on_demand_entry
        data = make(view, bare, number, state)  # type: ignore[arg-type]
        return CatalogEntry(data["kind"], f"{bare}@v{number}", data)
    if name in state.services:
        return CatalogEntry("feature service", name, service_entry(state, name))
    if name in state.sources:
        return CatalogEntry("source", name, source_entry(state.sources[name]))
    if name in state.entities:
        return CatalogEntry("entity", name, entity_entry(state.entities[name]))
    known = [*state.current, *state.services, *state.sources, *state.entities]
    raise UnknownName.of("definition", name, known, where=state.place)


# ----------------------------------------------------------------------------- as plain data


def service_entry(state: RegistryState, name: str) -> dict[str, Any]:
    """Return a feature service as plain data."""
    service: FeatureService = state.services[name]
    return {"name": name, "features": list(state.pins[name]), **_labels(service.labels)}


def entity_entry(entity: Entity) -> dict[str, Any]:
    """Return an entity as plain data."""
    return {
        "name": entity.name,
        "join_keys": {key: repr(dtype) for key, dtype in entity.join_keys},
        "description": entity.description,
        **words_dict(entity.words),
    }


def source_entry(source: Source) -> dict[str, Any]:
    """Return a source as plain data."""
    return {
        "name": source.name,
        "columns": {name: repr(dtype) for name, dtype in source.columns.items()},
        "event_time": source.event_time,
        "known_time": source.known_time,
        "row_id": list(source.row_id),
        "table": None if source.table is None else source.table.kind,
        "stream": None if source.stream is None else source.stream.kind,
        **({} if source.derivation is None else {"derived": derived_lines(source.derivation)[0]}),
        "owner": source.owner,
        "description": source.description,
        **words_dict(source.words),
    }


def view_entry(view: FeatureView, name: str, version: int, state: RegistryState) -> dict[str, Any]:
    """Return a version of a feature view as plain data."""
    freshness = view.labels["freshness"]
    return {
        "name": name,
        "version": version,
        "current": state.current.get(name) == version,
        "kind": "feature view",
        "entity": view.entity.name,
        "source": view.source.name,
        "features": {
            feature: {
                "type": repr(expression.dtype),
                "computes": repr(expression),
                "derived": not isinstance(expression, Aggregate),
                **_said(view.words.get(feature)),
            }
            for feature, expression in view.expressions.items()
        },
        "freshness": None if freshness is None else format_duration(freshness),
        **_labels(view.labels),
    }


def on_demand_entry(
    view: OnDemandView, name: str, version: int, state: RegistryState
) -> dict[str, Any]:
    """Return a version of an on-demand view as plain data."""
    return {
        "name": name,
        "version": version,
        "current": state.current.get(name) == version,
        "kind": "on-demand view",
        "features": {
            feature: {"type": repr(dtype), **_said(view.words.get(feature))}
            for feature, dtype in view.dtypes.items()
        },
        "needs": [ref.reference for ref in view.refs],
        "requests": {field.name: repr(field.dtype) for field in view.requests},
        **_labels(view.labels),
    }


def words_of_feature(view: View, feature: str) -> Words:
    """Return what is said of a feature; the owner is the view's where it has none of its own."""
    words = view.words.get(feature, Words())
    if words.owner or not view.labels["owner"]:
        return words
    return Words.from_dict({**words.to_dict(), "owner": view.labels["owner"]})


def json_schema(dtype: DType) -> dict[str, Any]:
    """Return the JSON Schema of a type's values, as `skewless.codec` writes them.

    >>> from skewless.types import Float64, List
    >>> json_schema(List(Float64))
    {'type': 'array', 'items': {'anyOf': [{'type': 'number'}, {'type': 'string'}]}}
    """
    match dtype.kind:
        case "bool":
            return {"type": "boolean"}
        case "int32" | "int64":
            return {"type": "integer"}
        case "float32" | "float64":
            return {"anyOf": [{"type": "number"}, {"type": "string"}]}
        case "timestamp":
            return {"type": "string", "format": "date-time"}
        case "date":
            return {"type": "string", "format": "date"}
        case "bytes":
            return {"type": "string", "contentEncoding": "base64"}
        case "list":
            return {"type": "array", "items": json_schema(dtype.item or dtype)}
        case "vector":
            return {"type": "array", "items": {"type": "number"}}
        case "map":
            return {"type": "object", "additionalProperties": json_schema(dtype.item or dtype)}
        case "struct":
            return {"type": "object", "properties": {k: json_schema(t) for k, t in dtype.fields}}
        case _:
            return {"type": "string"}


def service_schemas(state: RegistryState, allowed: frozenset[str]) -> dict[str, Any]:
    """Return for each feature service the JSON Schema of a vector, with the words of its features.

    Args:
        state: of the registry.
        allowed: names of services; empty: all.
    """
    found = {}
    for name in sorted(state.pins):
        if allowed and name not in allowed:
            continue
        properties = {}
        for reference in state.pins[name]:
            ref = state.feature(reference)
            words = words_of_feature(state.view(ref.view, ref.version), ref.feature)
            said = words.to_dict()
            schema = {"anyOf": [json_schema(ref.dtype), {"type": "null"}]}
            if said.get("description"):
                schema["description"] = said["description"]
            extra = {f"x-{k}": said[k] for k in ("unit", "owner", "tags") if said.get(k)}
            properties[ref.feature] = {**schema, **extra, "x-feature": ref.reference}
        about = state.services[name].labels["description"]
        found[f"Vector_{name}"] = {
            "type": "object",
            "title": f"A vector of feature service {name}",
            **({"description": about} if about else {}),
            "properties": properties,
        }
    return found


# ------------------------------------------------------------------------------------ pieces


def _feature_of(state: RegistryState, view: View, ref: Any) -> dict[str, Any]:
    expression = view.expressions.get(ref.feature)
    services = [name for name, pins in state.pins.items() if ref.reference in pins]
    on = {} if isinstance(view, OnDemandView) else _on(view)
    return {
        "type": repr(ref.dtype),
        "computes": "" if expression is None else repr(expression),
        **on,
        **words_of_feature(view, ref.feature).to_dict(),
        "services": sorted(services),
    }


def _on(view: FeatureView) -> dict[str, Any]:
    return {"entity": view.entity.name, "source": view.source.name}


def _labels(labels: Mapping[str, Any]) -> dict[str, Any]:
    return {name: labels[name] for name in _LABELS if labels.get(name)}


def _said(words: Words | None) -> dict[str, Any]:
    return words.to_dict() if words else {}


def _line(kind: str, name: str, about: str, owner: str, description: str) -> dict[str, Any]:
    first = description.strip().partition("\n")[0]
    return {"kind": kind, "name": name, "about": about, "owner": owner, "description": first}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key}={each}" for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _head(section: str) -> tuple[str, str, str, str]:
    return section[:-1], "type", "what" if section == "features" else "unit", "words"


def _rows(data: Mapping[str, Any], section: str) -> Iterator[tuple[str, str, str, str]]:
    words = data.get("words", {})
    members = data.get(section.replace(" ", "_"), {})
    for name, about in members.items() if isinstance(members, dict) else ():
        said = dict(words.get(name, {}) if isinstance(about, str) else about)
        kind = about if isinstance(about, str) else said.pop("type")
        computes = said.pop("computes", "")
        said.pop("derived", None)
        unit = said.pop("unit", "")
        description = said.pop("description", "")
        rest = [f"{key}: {_text(value)}" for key, value in said.items()]
        if section == "features" and unit:
            rest.insert(0, f"in {unit}")
        shown = "; ".join([*([description] if description else []), *rest])
        yield name, kind, computes if section == "features" else unit, shown

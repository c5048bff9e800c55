"""Renames: definitions that say what they were called, and what else names them.

A rename changes names alone. All that the registry holds is written with the new ones, older
versions, pins and deprecations among it, before a plan looks at what differs; so nothing moves to
another version, no state is built, and the history stays. Rows and states are kept under the name
that their source and entity began with (``stored``).

A definition may go on saying ``was``: where the rename has happened it says nothing any more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from skewless.definitions import FeatureService, OnDemandView, Source
from skewless.definitions.fingerprint import fingerprint
from skewless.definitions.references import split_reference
from skewless.definitions.repo import Definitions, View, was_of
from skewless.definitions.words import former_names
from skewless.errors import DefinitionError, UnknownName
from skewless.plan.apply.apply_plan import Rename, Step
from skewless.plan.apply.registry_state import (
    SOURCE_STORAGE,
    VIEW_KINDS,
    Deprecation,
    Kind,
    Record,
    RegistryState,
    on_demand_fingerprint,
    plain_fingerprint,
)


def renames_of(current: RegistryState, wanted: Definitions) -> tuple[Rename, ...]:
    """Return what an apply of ``wanted`` renames: what says so and has not been yet.

    Raises:
        UnknownName: something was never called that.
        DefinitionError: it is there under both names.
    """
    if not current.revision:
        return ()
    found: list[Rename] = []
    parts: tuple[tuple[Kind, Mapping[str, Any]], ...] = (
        ("entity", wanted.entities),
        ("source", wanted.sources),
        ("feature view", wanted.views),
        ("on-demand view", wanted.on_demand),
        ("feature service", wanted.services),
    )
    for kind, things in parts:
        kinds = VIEW_KINDS if kind in VIEW_KINDS else (kind,)
        known = {record.name for record in current.records if record.kind in kinds}
        names = {name: was for name, thing in things.items() if (was := was_of(thing))}
        found += (Rename(kind, *pair) for pair in _new(kind, names, known, current.place))
    before = {each.name: each.was for each in found if each.kind == "source"}
    for name, source in wanted.sources.items():
        found += _columns(current, source, before.get(name, name))
    before = {each.name: each.was for each in found if each.kind in VIEW_KINDS}
    views: dict[str, View] = {**wanted.views, **wanted.on_demand}
    for name, view in views.items():
        found += _features(current, view, before.get(name, name))
    return tuple(found)


def _new(
    kind: str, names: Mapping[str, str], known: Collection[str], where: str
) -> Iterator[tuple[str, str]]:
    """Yield new and former names of what was not renamed yet."""
    for name, was in names.items():
        if name in known and was in known:
            raise DefinitionError(
                f"{kind} {name!r} cannot have been {was!r}: there are both",
                where=where,
                hint="Leave was= out, and remove the other one in its own right.",
            )
        if name not in known and was not in known:
            problem = UnknownName.of(kind, was, known, where=where)
            hint = f"{problem.hint} was= is for what was applied under another name."
            raise UnknownName(problem.what, hint=hint)
        if name not in known:
            yield name, was


def _features(current: RegistryState, view: View, before: str) -> Iterator[Rename]:
    names = former_names(view.words, view.dtypes, f"view {view.name!r}")
    if not names:
        return
    known = current.view(before).dtypes if before in current.current else {}
    for name, was in _new("feature", names, known, f"view {before!r}"):
        yield Rename("feature", name, was, view.name)


def _columns(current: RegistryState, source: Source, before: str) -> Iterator[Rename]:
    names = {name: said.was for name, said in source.words.items() if said.was}
    if names:
        known = current.sources[before].columns if before in current.sources else {}
        for name, was in _new("column", names, known, f"source {before!r}"):
            yield Rename("column", name, was, source.name)


def check_free(current: RegistryState, kind: Kind, name: str) -> None:
    """Raise `DefinitionError` if what is kept under a name belongs to what is called otherwise."""
    for record in current.records:
        if (record.kind, record.body.get("stored")) == (kind, name) and record.name != name:
            raise DefinitionError(
                f"{kind} {name!r} cannot be new",
                got=f"{kind} {record.name!r}, which was {name!r}, keeps its rows under that name",
                hint="Give it another name.",
            )


def kept_names(old: Record, new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names that an entity or a source goes on keeping things under, as plain data.

    Raises:
        DefinitionError: it has a new column of a name that another is kept under.
    """
    kept = {part: old.body[part] for part in ("stored",) if part in old.body}
    stored = {c: s for c, s in old.body.get("stored_columns", {}).items() if c in new["schema"]}
    for column, name in stored.items():
        if name in new["schema"] and name not in stored:
            raise DefinitionError(
                f"column {name!r} of source {old.name!r} cannot be new",
                got=f"column {column!r}, which was {name!r}, is kept under that name",
                hint="Give it another name.",
            )
    return kept | ({"stored_columns": stored} if stored else {})


def renamed(state: RegistryState, renames: Collection[Rename]) -> RegistryState:
    """Return what a registry holds with other names."""
    if not renames:
        return state
    naming = _Naming(renames)
    records = tuple(naming.record(each) for each in state.records)
    notices = tuple(naming.notice(each) for each in state.notices)
    by_name = replace(state, records=records, notices=notices)
    marked = tuple(
        now if now == before else _marked(now, by_name)
        for before, now in zip(state.records, records, strict=True)
    )
    return replace(by_name, records=marked)


def said_of_renames(steps: Iterable[Step], renames: Collection[Rename]) -> Iterator[Step]:
    """Yield the steps of a plan; those of what is renamed say so."""
    lines: dict[tuple[str, str], list[str]] = {}
    for each in renames:
        kinds = ("source",) if each.kind == "column" else VIEW_KINDS
        for kind in kinds if each.of else (each.kind,):
            lines.setdefault((kind, each.of or each.name), []).append(each.explain())
    for step in steps:
        said = lines.get((step.kind, step.name))
        if said is None:
            yield step
            continue
        same = step.action in ("unchanged", "described only")
        action = "renamed" if same else step.action
        yield replace(step, action=action, changes=(*said, *step.changes))


class _Naming:
    """Writes plain data with other names."""

    def __init__(self, renames: Iterable[Rename]) -> None:
        self.names: dict[str, dict[str, str]] = {}
        self.features: dict[tuple[str, str], str] = {}
        """Former names of view and feature to the feature's name."""
        self.columns: dict[str, dict[str, str]] = {}
        """Former name of a source to former and present names of its columns."""
        before: dict[tuple[str, str], str] = {}
        for each in renames:
            kind = "view" if each.kind in VIEW_KINDS else each.kind
            if kind == "feature":
                self.features[before.get(("view", each.of), each.of), each.was] = each.name
            elif kind == "column":
                source = before.get(("source", each.of), each.of)
                self.columns.setdefault(source, {})[each.was] = each.name
            else:
                before[kind, each.name] = each.was
                self.names.setdefault(kind, {})[each.was] = each.name

    def name(self, kind: str, name: str) -> str:
        """Return the name of a definition."""
        kind = "view" if kind in VIEW_KINDS else kind
        return self.names.get(kind, {}).get(name, name)

    def reference(self, text: str) -> str:
        """Return a reference to a feature."""
        view, version, feature = split_reference(text)
        at = "" if version is None else f"@v{version}"
        return f"{self.name('view', view)}{at}:{self.features.get((view, feature), feature)}"

    def notice(self, notice: Deprecation) -> Deprecation:
        """Return a deprecation."""
        rest = notice.target.removeprefix(notice.name)
        if ":" in rest:
            return replace(notice, target=self.reference(notice.target))
        name = self.name("view", self.name("feature service", notice.name))
        return replace(notice, target=name + rest)

    def record(self, record: Record) -> Record:
        """Return a definition."""
        pins = tuple(map(self.reference, record.pins))
        pending = tuple(map(self.reference, record.pending))
        name = self.name(record.kind, record.name)
        body = getattr(self, f"_{record.kind.replace(' ', '_').replace('-', '_')}")(record.body)
        if record.kind in (*VIEW_KINDS, "feature service"):
            inner = body.get("view", body)
            inner |= {"name": name} | ({"was": record.name} if name != record.name else {})
        return replace(record, name=name, body=body, pins=pins, pending=pending)

    def _named(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return an entity or a source; what it keeps it goes on keeping under its first name."""
        name, was = self.name(kind, body["name"]), body["name"]
        if name == was:
            return body
        body = body | {"name": name, "was": was, "stored": body.get("stored", was)}
        if body["stored"] == name:
            del body["stored"]
        return body

    def _entity(self, body: dict[str, Any]) -> dict[str, Any]:
        return self._named("entity", body)

    def _grant(self, body: dict[str, Any]) -> dict[str, Any]:
        named = [self.reference(r) if ":" in r else self.name("view", r) for r in body["read"]]
        return body | {"read": named}

    def _source(self, body: dict[str, Any]) -> dict[str, Any]:
        names = self.columns.get(body["name"], {})
        body = self._named("source", body)
        if names:
            body = self._with_columns(body, names)
        if "derived" not in body:
            return body
        names = self.columns.get(body["derived"]["source"], {})
        by = body["derived"] | {"source": self.name("source", body["derived"]["source"])}
        for part in ("by", "columns", "row_id"):
            by[part] = [names.get(column, column) for column in by[part]]
        by["columns"] = sorted(by["columns"]) if "view" in by else by["columns"]
        by["types"] = {names.get(column, column): dtype for column, dtype in by["types"].items()}
        if "view" in by:
            entity = by["view"]["entity"]
            named = entity | {"name": self.name("entity", entity["name"])}
            view = self._view(by["view"], entity["join_keys"], words=False)
            by["view"] = view | {"entity": named}
        return body | {"derived": by}

    def _with_columns(self, body: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
        """Return a source with other names of its columns, kept under their first ones."""
        stored = body.get("stored_columns", {})
        kept = {names.get(c, c): first for c, first in stored.items()}
        kept |= {now: was for was, now in names.items() if was not in stored}
        made = body | {
            "schema": {names.get(c, c): dtype for c, dtype in body["schema"].items()},
            "row_id": [names.get(c, c) for c in body["row_id"]],
            "stored_columns": {now: first for now, first in kept.items() if now != first},
        }
        for part in ("checks", "screens"):
            if part in made:
                made[part] = [
                    _over(each, names) | {"columns": [names.get(c, c) for c in each["columns"]]}
                    for each in made[part]
                ]
        return self._with_words(made, {c: names.get(c, c) for c in body["schema"]})

    def _view(
        self, body: dict[str, Any], keys: Iterable[str], *, words: bool = True
    ) -> dict[str, Any]:
        """Return the plain data of a feature view, its own name among it.

        Args:
            body: the view's own.
            keys: the join keys of its entity.
            words: whether what is said of its features is in it.
        """
        view = body["name"]
        new = {f: self.features.get((view, f), f) for f in body["features"]}
        made = body | {
            "name": self.name("view", view),
            "source": self.name("source", body["source"]),
            "features": {new[f]: given for f, given in body["features"].items()},
        }
        if names := self.columns.get(body["source"]):
            made["features"] = _over(made["features"], names)
            made["where"] = _over(made["where"], names)
            on = {key: body.get("on", {}).get(key, key) for key in keys}
            on = {key: names.get(column, column) for key, column in on.items()}
            made.pop("on", None)
            if on := {key: column for key, column in on.items() if key != column}:
                made["on"] = on
        return self._with_words(made, new) if words else made

    def _with_words(self, body: dict[str, Any], new: Mapping[str, str]) -> dict[str, Any]:
        said = {new.get(f, f): given for f, given in body.get("words", {}).items()}
        for was, name in new.items():
            if was != name:
                said[name] = said.get(name, {}) | {"was": was}
        return body | ({"words": said} if said else {})

    def _feature_view(self, body: dict[str, Any]) -> dict[str, Any]:
        entity, source = body["entity"], body["source"]
        view = self._view(body["view"], entity["join_keys"])
        view["entity"] = self.name("entity", entity["name"])
        source = self._source(source) | {"name": view["source"]}
        kept = {key: value for key, value in source.items() if key not in SOURCE_STORAGE}
        return {"view": view, "source": kept, "entity": entity | {"name": view["entity"]}}

    def _on_demand_view(self, body: dict[str, Any]) -> dict[str, Any]:
        view = body["name"]
        new = {f: self.features.get((view, f), f) for f in body["returns"]}
        made = body | {part: self._references(body[part]) for part in ("features", "inputs")}
        for part in ("features", "returns"):
            made[part] = {new.get(f, f): given for f, given in made[part].items()}
        return self._with_words(made, new)

    def _references(self, data: Any) -> Any:
        if isinstance(data, dict):
            if set(data) == {"feature", "type"}:
                return data | {"feature": self.reference(data["feature"])}
            return {key: self._references(value) for key, value in data.items()}
        return [self._references(each) for each in data] if isinstance(data, list) else data

    def _feature_service(self, body: dict[str, Any]) -> dict[str, Any]:
        made = body | {"references": list(map(self.reference, body["references"]))}
        if "whole" in body:
            made["whole"] = [self.name("view", name) for name in body["whole"]]
        return made


def _over(data: Any, names: Mapping[str, str]) -> Any:
    """Return expressions, as plain data, over columns by other names."""
    if isinstance(data, dict):
        if set(data) == {"column", "type"}:
            return data | {"column": names.get(data["column"], data["column"])}
        return {key: _over(value, names) for key, value in data.items()}
    return [_over(each, names) for each in data] if isinstance(data, list) else data


def _marked(record: Record, state: RegistryState) -> Record:
    """Return a definition with the fingerprint that it has by its names, written as it would be.

    A version that was retired is never compared.
    """
    body = record.body
    if record.kind == "feature view":
        if record.retired_at is not None:
            return record
        view = state.views[record.key]
        body = body | {"view": view.to_dict()}
        return replace(record, body=body, fingerprint=view.fingerprint)
    if record.kind == "on-demand view":
        made = OnDemandView.from_dict(body)
        mark = on_demand_fingerprint(made, record.pins)
        return replace(record, body=made.to_dict(), fingerprint=mark)
    if record.kind == "feature service":
        body = FeatureService.from_dict(body).to_dict()
        return replace(record, body=body, fingerprint=fingerprint(list(record.pins)))
    if record.kind == "source":
        body = Source.from_dict(body).to_dict()
    return replace(record, body=body, fingerprint=plain_fingerprint(record.kind, body))

"""A registry of Feast as definitions of skewless, written to be read and kept.

What has the same meaning is translated; where the meaning differs a little, the difference is
bridged or said in a note; what has none is left out, with a note that says why.
"""

from __future__ import annotations

import ast
import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from skewless.durations import format_duration
from skewless.errors import DefinitionError
from skewless.plugs.feast.registry import DUMMY, Spec, View, specs, views
from skewless.plugs.migrate.written import (
    Entities,
    Translation,
    as_lines,
    as_text,
    column_of,
    file_of,
    is_name,
    python_name,
    source_code,
    typed,
    view_code,
)

_TYPES = {
    "BOOL": "bool", "INT32": "sl.Int32", "INT64": "int", "FLOAT": "sl.Float32", "DOUBLE": "float",
    "STRING": "str", "BYTES": "bytes", "UNIX_TIMESTAMP": "datetime", "JSON": "sl.Json",
    "UUID": "str", "TIME_UUID": "str", "DECIMAL": "sl.Decimal(38, 18)",
}  # fmt: skip
_NESTED = frozenset({"MAP", "JSON", "STRUCT"})
"""Types of which Feast does not say all: in a file they may be text, a map or a struct."""
_ARROW = {
    "string": "str", "large_string": "str", "int64": "int", "int32": "sl.Int32", "bool": "bool",
    "double": "float", "float": "sl.Float32",
}  # fmt: skip
_KNOWN = (
    "values are those that were known: a row counts from its {column} on. Feast lets it count from "
    'its event time on; as_of="event_time" gives training sets as Feast does'
)
GENERAL = (
    "A null is a null: NaN in a file is null here, and a value in Feast.",
    "A row in the future counts online once its time has come; Feast serves it at once.",
    "What is removed from a view keeps its rows until they are dropped; Feast forgets them.",
)
"""Differences of contract that no definition can bridge."""


@dataclass
class FromFeast(Translation):
    """What was made of a registry.

    Attributes:
        views: the views that were translated.
    """

    contract: tuple[str, ...] = GENERAL
    views: list[View] = field(default_factory=list)


def translate(registry: Mapping[str, Any], folder: Path) -> FromFeast:
    """Return the definitions of a registry.

    Args:
        registry: of `skewless.plugs.feast.registry.dump`.
        folder: of the feature repo: paths of files start there.
    """
    return _Writer(registry, folder.absolute()).written()


class _Writer:
    """Writes ``features.py``, part by part."""

    def __init__(self, registry: Mapping[str, Any], folder: Path) -> None:
        self.registry, self.folder = registry, folder
        self.result = FromFeast()
        self.note = self.result.note

        self.entities: dict[str, str] = {}
        """View to the name of its entity."""
        self.written_features: dict[str, list[str]] = {}
        """View or on-demand view that is written to its features."""

    def written(self) -> FromFeast:
        found = list(views(self.registry))
        usable = [view for view in found if self._usable(view)]
        parts = [self._entities(usable), *self._sources(usable)]
        parts += [self._view(view) for view in usable]
        self.result.views = usable
        self.result.mapped["feature views"] = (len(usable), len(found))
        parts += self._on_demand()
        parts += self._services()
        title = f"Features of {self._project()}, translated from Feast."
        self.result.code = file_of(title, parts)
        return self.result

    def _project(self) -> str:
        project = self.registry.get("project", "a project")
        return project if isinstance(project, str) else str(project.get("spec", {}).get("name"))

    # --------------------------------------------------------------------------------- parts

    def _usable(self, view: View) -> bool:
        """Say what cannot be translated of a view; whether anything can."""
        if self._table(view.batch) is None:
            kind = view.batch.get("type", "no source")
            self.note(view.name, f"left out: its history is in {kind}, or behind a query")
            return False
        unnamed = [name for name in (view.name, *view.keys) if not is_name(name)]
        if unnamed:
            self.note(view.name, f"left out: {unnamed[0]!r} cannot be a name in Python")
            return False
        return bool(self._features(view))

    def _features(self, view: View) -> list[Spec]:
        """Return the features of a view that have a type here."""
        return [each for each in view.features if _type(each) is not None and is_name(each["name"])]

    def _entities(self, usable: list[View]) -> str:
        """Return the entities; a view whose key has a type of its own gets one of its own."""
        given = {spec["name"]: spec for spec in specs(self.registry, "entities")}
        made = Entities(self.result)
        for view in usable:
            keys = {key: _TYPES[kind] for key, kind in view.keys.items()}
            name = "_".join(map(python_name, view.entities)) or "everything"
            self.entities[view.name] = made.of(name, keys, view.name)
        used = {name for view in usable for name in view.entities}
        self.result.mapped["entities"] = (len(used), len(given) - (DUMMY in given))
        return str(made)

    def _sources(self, usable: list[View]) -> Iterator[str]:
        """Yield one source for each that views are defined over, with all columns they use."""
        by_name: dict[str, list[View]] = {}
        for view in usable:
            by_name.setdefault(view.source["name"], []).append(view)
        for name, users in by_name.items():
            batch, source = users[0].batch, users[0].source
            columns: dict[str, str] = {}
            for view in users:
                for key, kind in view.keys.items():
                    columns[view.column(key)] = _TYPES[kind]
                for each in self._features(view):
                    columns[view.column(each["name"])] = self._column(view, each)
            event, known = batch["timestampField"], batch.get("createdTimestampColumn")
            columns.pop(event, None)
            if known:
                columns.pop(known, None)
                self.note(name, _KNOWN.format(column=known))
            kind = str(source.get("type", ""))
            if kind.startswith("STREAM") or "kafkaOptions" in source or "kinesisOptions" in source:
                self.note(name, f"its stream ({kind}) is not read yet: give the source a stream=")
            words = source.get("description") or batch.get("description")
            yield source_code(
                python_name(name),
                columns,
                event_time=as_text(event),
                known_time=as_text(known) if known else None,
                table=self._table(batch),
                description=as_text(words) if words else None,
            )

    def _column(self, view: View, each: Spec) -> str:
        """Return type and words of a feature's column; what is nested is as its file has it."""
        kind = str(_type(each))
        if each["valueType"] in _NESTED:
            kind = self._stored(view, view.column(each["name"])) or kind
        return typed(kind, each.get("description"))

    def _stored(self, view: View, column: str) -> str | None:
        """Return the type of a column of a local file as code; None where it cannot be told."""
        path = self.folder / str(view.batch.get("fileOptions", {}).get("uri", ""))
        if not path.is_file():
            return None
        schema = pq.read_schema(path)
        return _arrow_type(schema.field(column).type) if column in schema.names else None

    def _table(self, batch: Spec) -> str | None:
        """Return the table of a batch source as code; None where there is none here."""
        if uri := batch.get("fileOptions", {}).get("uri"):
            path = uri.removeprefix("file://")
            if "://" not in path:
                path = str((self.folder / path).resolve())
            if "deltaFormat" in str(batch["fileOptions"]):
                return f"sl.Delta({as_text(path)})"
            return f'sl.Parquet({as_text(path)}, timezone="UTC")'
        for options, kind in (("snowflakeOptions", "Snowflake"), ("redshiftOptions", "Redshift"),
                              ("bigqueryOptions", "BigQuery")):  # fmt: skip
            if table := batch.get(options, {}).get("table"):
                return f"sl.{kind}({as_text(table)})"
        return None

    def _view(self, view: View) -> str:
        source = python_name(view.source["name"])
        entity = self.entities[view.name]
        ttl = ""
        if view.ttl:
            # A row is still valid at the last instant of Feast's ttl, and no longer of ours.
            ttl = f'ttl="{format_duration(view.ttl + 1)}"'
        features: dict[str, str] = {}
        for each in view.features:
            if each in self._features(view):
                column = column_of(source, view.column(each["name"]))
                features[each["name"]] = f"{column}.latest({ttl})"
            else:
                why = f"no type for {each['valueType']}"
                if _type(each) is not None:
                    why = "it cannot be a name in Python; map it with field_mapping"
                self.note(f"{view.name}:{each['name']}", f"left out: {why}")
        self.written_features[view.name] = list(features)
        return view_code(
            view.name,
            entity=entity,
            source=source,
            features=features,
            description=view.spec.get("description", ""),
            labels=_labels(view.spec),
        )

    def _on_demand(self) -> Iterator[str]:
        requests: dict[str, str] = {}
        parts, given = [], specs(self.registry, "onDemandFeatureViews")
        for spec in given:
            try:
                parts.append(self._function(spec, requests))
                features = [each["name"] for each in spec["features"]]
                self.written_features[spec["name"]] = features
            except (DefinitionError, KeyError) as problem:
                self.note(spec["name"], f"left out: {problem}")
        self.result.mapped["on-demand views"] = (len(parts), len(given))
        asked = [f"{name} = sl.Request({as_text(name)}, {kind})" for name, kind in requests.items()]
        yield "\n".join(asked)
        yield from parts

    def _function(self, spec: Spec, requests: dict[str, str]) -> str:
        """Return an on-demand view: the function as it was, over columns."""
        code = spec["featureTransformation"].get("userDefinedFunction")
        if code is None or code.get("mode", spec.get("mode")) not in ("pandas", "python"):
            raise DefinitionError("only functions in the modes pandas and python can be kept")
        inputs: dict[str, str] = {}
        for each in spec["sources"].values():
            if request := each.get("requestDataSource"):
                for field_ in request["requestDataOptions"]["schema"]:
                    requests[field_["name"]] = _TYPES[field_["valueType"]]
                    inputs[field_["name"]] = field_["name"]
                continue
            view = each.get("featureViewProjection") or each["featureView"]["spec"]
            name = view.get("featureViewName") or view["name"]
            if name not in self.written_features:
                raise DefinitionError(f"it needs view {name!r}, which was left out")
            kept = self.written_features[name]
            for one in view.get("featureColumns") or view["features"]:
                if one["name"] in kept:
                    inputs[one["name"]] = f"{name}.{one['name']}"
        body = _plain_function(code.get("bodyText") or code["body"])
        used = {one: where for one, where in inputs.items() if re.search(rf"\b{one}\b", body)}
        returns = {one["name"]: _type(one) for one in spec["features"]}
        frame = ", ".join(f"{as_text(one)}: {one}" for one in used)
        made = f"pd.DataFrame({{{frame}}})"
        answer = f"{_called(body)}({made})"
        if code.get("mode", spec.get("mode")) == "python":
            answer = f"{_called(body)}({{name: list(v) for name, v in {made}.items()}})"
        return (
            f"@sl.on_demand(\n    inputs={{\n{as_lines(used, 8)}    }},\n"
            f"    returns={{\n{as_lines(returns, 8)}    }},\n)\n"
            f"def {spec['name']}({', '.join(used)}):\n    import pandas as pd\n\n"
            f"{textwrap.indent(body, '    ')}\n\n"
            f"    answer = {answer}\n"
            f"    return {{name: answer[name] for name in {as_text(list(returns))}}}"
        )

    def _services(self) -> Iterator[str]:
        given, made = specs(self.registry, "featureServices"), 0
        for spec in given:
            if (called := python_name(spec["name"])) != spec["name"]:
                self.note(spec["name"], f"called {called} here")
            members: list[str] = []
            missing: list[str] = []
            for each in spec["features"]:
                name = each["featureViewName"]
                known = self.written_features.get(name, [])
                for column in each["featureColumns"]:
                    found = members if column["name"] in known else missing
                    found.append(f"{name}.{column['name']}")
                if each.get("featureViewNameAlias") or each.get("joinKeyMap"):
                    self.note(spec["name"], f"{name} is renamed in it: use {name}.of(...), prefix=")
            if missing:
                self.note(spec["name"], f"without {', '.join(missing)}")
            if members:
                made += 1
                name = python_name(spec["name"])
                listed = "".join(f"        {each},\n" for each in members)
                labels = "".join(f", {k}={as_text(v)}" for k, v in _labels(spec).items())
                yield (
                    f"{name} = sl.FeatureService(\n    {as_text(name)},\n"
                    f"    [\n{listed}    ]{labels},\n)"
                )
        self.result.mapped["feature services"] = (made, len(given))


def _plain_function(text: str) -> str:
    """Return a function without decorators and annotations.

    Raises:
        DefinitionError: the text is no function.
    """
    try:
        tree = ast.parse(textwrap.dedent(text))
        [function] = [each for each in tree.body if isinstance(each, ast.FunctionDef)]
    except (SyntaxError, ValueError) as problem:
        raise DefinitionError("its source text is no function") from problem
    function.decorator_list, function.returns = [], None
    for argument in function.args.args:
        argument.annotation = None
    return ast.unparse(function)


def _called(body: str) -> str:
    return str(ast.parse(body).body[0].name)  # type: ignore[attr-defined]


def _type(each: Spec) -> str | None:
    """Return the type of a feature as code; None where there is none here."""
    kind = str(each["valueType"])
    if kind.endswith("_LIST") and kind[:-5] in _TYPES:
        return f"sl.List({_TYPES[kind[:-5]]})"
    if kind == "MAP":
        return "sl.Map(str)"
    if kind == "STRUCT":
        fields = json.loads(each.get("tags", {}).get("feast:struct_schema", "{}"))
        if not fields or any(inner not in _TYPES for inner in fields.values()):
            return None
        listed = ", ".join(f"{as_text(name)}: {_TYPES[inner]}" for name, inner in fields.items())
        return f"sl.Struct({{{listed}}})"
    return _TYPES.get(kind)


def _arrow_type(kind: pa.DataType) -> str | None:
    """Return a type of Arrow as code; None where there is none here."""
    if pa.types.is_struct(kind):
        inner = {each.name: _arrow_type(each.type) for each in kind}
        listed = ", ".join(f"{as_text(name)}: {each}" for name, each in inner.items())
        return None if None in inner.values() else f"sl.Struct({{{listed}}})"
    if pa.types.is_map(kind):
        item = _arrow_type(kind.item_type)
        return f"sl.Map({item})" if item and pa.types.is_string(kind.key_type) else None
    if pa.types.is_list(kind):
        item = _arrow_type(kind.value_type)
        return f"sl.List({item})" if item else None
    return _ARROW.get(str(kind))


def _labels(spec: Spec) -> dict[str, Any]:
    return {name: spec[name] for name in ("owner", "tags") if spec.get(name)}

"""The description of the HTTP interface, ``/openapi.json``: OpenAPI 3.1."""

from __future__ import annotations

from typing import Any

from skewless.serving.http.http import ARROW
from skewless.serving.read.encode import EXTRAS
from skewless.state.status import Status
from skewless.version import __version__

Schema = dict[str, Any]
_ARROW = ARROW.decode()
_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_WHOLE: Schema = {"type": "integer"}
_YES_NO: Schema = {"type": "boolean"}
_ANY_LIST: Schema = {"type": "array", "items": {}}
_TIME: Schema = {"type": "string", "format": "date-time"}


def _object(required: str, **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": required.split()}


def _closed(required: str, **properties: Schema) -> Schema:
    return {**_object(required, **properties), "additionalProperties": False}


def _list(items: Schema, least: int = 0) -> Schema:
    found: Schema = {"type": "array", "items": items}
    return found | ({"minItems": least} if least else {})


def _by_name(values: Schema) -> Schema:
    return {"type": "object", "additionalProperties": values}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_MOMENT: Schema = {
    "anyOf": [_TIME, _WHOLE],
    "description": "ISO 8601 with an offset, or UTC microseconds since 1970.",
}
_ROWS: Schema = {
    "description": "A list of objects, or an object of lists of one length.",
    "anyOf": [_list({"type": "object"}, 1), _by_name(_ANY_LIST)],
}
_FRAME: Schema = _by_name(_ANY_LIST)
_INCLUDED: Schema = {"type": "string", "enum": list(EXTRAS)}


def _schemas() -> dict[str, Schema]:
    return {
        "Error": _object(
            "error what", error=_TEXT, what=_TEXT, got={}, expected={}, where=_TEXT, hint=_TEXT
        ),
        "FeaturesRequest": _closed(
            "entities",
            entities=_ROWS,
            features={"anyOf": [_list(_TEXT, 1), _TEXT]},
            service=_or_null(_TEXT),
            at=_or_null(_MOMENT),
            full_names=_YES_NO,
            include=_list(_INCLUDED),
            statuses=_YES_NO,
            int64_as_text=_YES_NO,
        ),
        "Features": _object(
            "at values",
            at=_TIME,
            values=_by_name(_ANY_LIST),
            statuses=_by_name(_list({"type": "string", "enum": [s.value for s in Status]})),
            event_times=_by_name(_list(_or_null(_TIME))),
            ages=_by_name(_list(_or_null(_NUMBER))),
            versions=_by_name(_TEXT),
            types=_by_name({}),
        ),
        "PushRequest": _closed("source rows", source=_TEXT, rows=_ROWS, backdate=_YES_NO),
        "Pushed": _object(
            "source accepted corrections duplicates late quarantined reasons sequence",
            source=_TEXT,
            **dict.fromkeys(
                ("accepted", "corrections", "duplicates", "late", "quarantined", "sequence"), _WHOLE
            ),
            reasons=_list(_ref("RefusedRow")),
        ),
        "RefusedRow": _object("row reason", row=_WHOLE, reason=_TEXT),
        "MaterializeRequest": _closed(
            "",
            views=_or_null(_list(_TEXT, 1)),
            start=_or_null(_MOMENT),
            end=_or_null(_MOMENT),
            backfill=_YES_NO,
        ),
        "Job": _object(
            "job kind status progress started",
            job=_TEXT,
            kind=_TEXT,
            status={"type": "string", "enum": ["running", "done", "failed", "lost"]},
            views=_or_null(_list(_TEXT)),
            progress=_NUMBER,
            doing=_TEXT,
            **dict.fromkeys(("start", "end", "started", "seen", "ended"), _or_null(_TIME)),
            results=_list({"type": "object"}),
            error=_or_null(_ref("Error")),
            who=_TEXT,
        ),
        "Ready": _ready(),
    }


def _experiment_schemas() -> dict[str, Schema]:
    return {
        "ExperimentRequest": _closed("entities", entities=_list({"type": "object"})),
        "ExperimentAnswer": _object(
            "experiment variants control treatment",
            experiment=_TEXT,
            variants=_list({"type": "string", "enum": ["control", "treatment"]}),
            control=_or_null(_ref("Features")),
            treatment=_or_null(_ref("Features")),
        ),
    }


def _feast_schemas() -> dict[str, Schema]:
    return {
        "FeastRead": _object(
            "entities",
            entities=_FRAME,
            features=_or_null(_list(_TEXT, 1)),
            feature_service=_or_null(_TEXT),
            full_feature_names=_YES_NO,
            include_feature_view_version_metadata=_YES_NO,
        ),
        "FeastPush": _object(
            "push_source_name df",
            push_source_name=_TEXT,
            df=_FRAME,
            to={"type": "string", "enum": ["online", "offline", "online_and_offline"]},
        ),
        "FeastWrite": _object("feature_view_name df", feature_view_name=_TEXT, df=_FRAME),
        "FeastMaterialize": _object(
            "",
            start_ts=_or_null(_TEXT),
            end_ts=_or_null(_TEXT),
            feature_views=_or_null(_list(_TEXT)),
            version=_or_null(_TEXT),
        ),
        "FeastWritten": _object(
            "accepted quarantined reasons",
            accepted=_WHOLE,
            quarantined=_WHOLE,
            reasons=_list(_ref("RefusedRow")),
        ),
    }


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


_ERROR_TEXTS = {
    "401": "A key is needed, or this one does not count.",
    "403": "The key may not do this.",
    "404": "There is nothing of that name.",
    "409": "Another job is running.",
    "410": "What was asked for was retired.",
    "413": "Too large.",
    "415": "Not a kind that is spoken here.",
    "422": "The request is wrong: the answer says what, got, expected, where and gives a hint.",
    "429": "The key is used too often.",
    "503": "Overloaded, or a store does not answer: try again after Retry-After seconds.",
}


def _operation(
    name: str,
    summary: str,
    answers: dict[str, Schema],
    *,
    request: Schema | None = None,
    parameters: list[Schema] | None = None,
    feast: bool = False,
) -> Schema:
    problem: Schema = {} if feast else _ref("Error")
    responses = {status: {"description": summary, **content} for status, content in answers.items()}
    errors = {
        status: {"description": text, "content": _json(problem)}
        for status, text in _ERROR_TEXTS.items()
        if status not in responses
    }
    found: Schema = {"operationId": name, "summary": summary, "responses": responses | errors}
    if request is not None:
        found["requestBody"] = {"required": True, "content": request}
    if parameters:
        found["parameters"] = parameters
    return found


def _parameter(name: str, schema: Schema, *, required: bool = False) -> Schema:
    return {"name": name, "in": "query", "required": required, "schema": schema}


def _listing(name: str) -> Schema:
    content = _object(name, **{name: _list({"type": "object"})})
    return {"get": _operation(f"list_{name}", f"The {name}.", {"200": {"content": _json(content)}})}


def _experiment() -> Schema:
    name = {"name": "name", "in": "path", "required": True, "schema": {**_TEXT, "minLength": 1}}
    summary = "Each entity by the feature service of its variant; who was exposed is noted."
    answer = {"200": {"content": _json(_ref("ExperimentAnswer"))}}
    asked = _json(_ref("ExperimentRequest"))
    return {
        "post": _operation("read_experiment", summary, answer, request=asked, parameters=[name])
    }


def document() -> Schema:
    """Return the description as plain data."""
    arrow = {_ARROW: {"schema": {"type": "string", "format": "binary"}}}
    explain: Schema = _operation(
        "explain",
        "The rows behind a value. Join keys and request fields are parameters too.",
        {"200": {"content": _json({"type": "object"})}},
        parameters=[_parameter("feature", _TEXT, required=True), _parameter("at", _TEXT)],
    )
    features = _listing("features")
    features["get"]["parameters"] = [
        _parameter("q", _TEXT),
        _parameter("limit", {"type": "integer", "minimum": 1, "maximum": 1000}),
    ]
    features["post"] = _operation(
        "get_online_features",
        "Feature vectors of entities, column by column.",
        {"200": {"content": _json(_ref("Features")) | arrow}},
        request=_json(_ref("FeaturesRequest")),
    )
    job = {"content": _json(_ref("Job"))}
    number = {"name": "id", "in": "path", "required": True, "schema": {**_TEXT, "minLength": 1}}
    paths: Schema = {
        "/v1/features": features,
        "/v1/experiments/{name}": _experiment(),
        "/v1/push": {
            "post": _operation(
                "push", "Rows of a source, durable and readable when it answers.",
                {"200": {"content": _json(_ref("Pushed"))}},
                request=_json(_ref("PushRequest")),
            )
        },
        "/v1/materialize": {
            "post": _operation(
                "materialize", "Start bringing the online store up to date.", {"202": job},
                request=_json(_ref("MaterializeRequest")),
            )
        },
        "/v1/jobs": _listing("jobs"),
        "/v1/jobs/{id}": {
            "get": _operation(
                "get_job", "What has become of a job.", {"200": job}, parameters=[number]
            )
        },
        **{f"/v1/{name}": _listing(name) for name in ("services", "views", "entities", "sources")},
        "/v1/explain": {"get": explain},
        **_feast(),
        **_about(),
    }  # fmt: skip
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "skewless",
            "version": __version__,
            "description": "Feature vectors over HTTP.",
        },
        "paths": paths,
        "components": {
            "schemas": _schemas() | _experiment_schemas() | _feast_schemas(),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}, {}],
    }


def _feast() -> dict[str, Schema]:
    anything = {"200": {"content": _json({})}}
    posts = {
        "/get-online-features": ("feast_get_online_features", "As Feast's server.", "FeastRead"),
        "/push": ("feast_push", "As Feast's server.", "FeastPush"),
        "/write-to-online-store": ("feast_write", "As Feast's server.", "FeastWrite"),
        "/materialize": ("feast_materialize", "As Feast's server.", "FeastMaterialize"),
        "/materialize-incremental": (
            "feast_materialize_incremental", "As Feast's server.", "FeastMaterialize",
        ),
    }  # fmt: skip
    found: dict[str, Schema] = {}
    for path, (name, summary, body) in posts.items():
        answers = dict(anything)
        if body == "FeastWrite":
            answers["200"] = {"content": _json(_or_null(_ref("FeastWritten")))}
        parameters = []
        if "materialize" in path:
            answers["202"] = {"content": _json({"type": "object"})}
            parameters = [_parameter("async", _TEXT), _parameter("force", _TEXT)]
        request = _json(_ref(body))
        operation = _operation(
            name, summary, answers, request=request, parameters=parameters, feast=True
        )
        found[path] = {"post": operation}
    return found


def _ready() -> Schema:
    texts = dict.fromkeys(("reasons", "building", "warnings"), _list(_TEXT))
    return _object("ready reasons building warnings", ready=_YES_NO, **texts)


def _about() -> dict[str, Schema]:
    text = {"content": {"text/plain": {"schema": _TEXT}}}
    ready = {"content": _json(_ref("Ready"))}
    return {
        "/health": {"get": _operation("health", "Alive.", {"200": {}})},
        "/ready": {
            "get": _operation(
                "ready", "Whether requests can be answered.", {"200": ready, "503": ready}
            )
        },
        "/metrics": {"get": _operation("metrics", "Metrics in Prometheus' format.", {"200": text})},
        "/openapi.json": {
            "get": _operation(
                "openapi", "This description.", {"200": {"content": _json({"type": "object"})}}
            )
        },
    }

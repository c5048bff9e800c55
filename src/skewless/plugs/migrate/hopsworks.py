"""Hopsworks: feature groups, as its REST interface and ``FeatureGroup.json()`` describe them.

``GET /project/{id}/featurestores/{id}/featuregroups?expand=features`` lists them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from skewless.durations import format_duration
from skewless.errors import InputError
from skewless.plugs.migrate.files import Spec, documents
from skewless.plugs.migrate.groups import Group, write
from skewless.plugs.migrate.hive import NUMBERS, type_of
from skewless.plugs.migrate.written import Translation, as_text

_DATABASES = {"SNOWFLAKE": "Snowflake", "REDSHIFT": "Redshift", "BIGQUERY": "BigQuery"}
_READ = ("s3://", "s3a://", "gs://", "abfs://", "abfss://", "file://", "/")
CONTRACT = (
    "A feature is the newest row's value, as your jobs have computed it. Windows can be "
    "definitions: push the raw rows, and write the aggregation where the column is.",
    "Feature views, their filters and their labels are not in these files: a FeatureService names "
    "the features of a model, and labels are columns of the spine.",
)


def translate(path: Path, *, epoch: str | None = None) -> Translation:
    """Return the definitions of feature groups.

    Args:
        path: a file of one or many, or a folder of such files.
        epoch: the unit of event times that are numbers: ``"s"``, ``"ms"``, ``"us"`` or ``"ns"``.

    Raises:
        InputError: there is none, or a time is a number whose unit was not said.
    """
    found = [each for each in documents(path, what="feature groups of Hopsworks") if _named(each)]
    if not found:
        raise InputError(
            "no feature group of Hopsworks here", where=str(path),
            expected="objects with a name and features",
        )  # fmt: skip
    result = Translation(contract=CONTRACT)
    newest: dict[str, Spec] = {}
    for each in sorted(found, key=lambda spec: int(spec.get("version") or 1)):
        if older := newest.get(each["name"]):
            result.note(each["name"], f"version {older.get('version')} left out: there is a newer")
        newest[each["name"]] = each
    groups = [group for spec in newest.values() if (group := _group(spec, result, epoch))]
    result.mapped["feature groups"] = (len(groups), len(newest))
    write(groups, result, "Features translated from Hopsworks.")
    return result


def _named(spec: Spec) -> bool:
    """Return whether it is a group; a feature view has a query of several groups, no text."""
    group = isinstance(spec.get("features"), list) and "name" in spec
    return group and not isinstance(spec.get("query"), Mapping)


def _group(spec: Spec, result: Translation, epoch: str | None) -> Group | None:
    """Return a group; None, with a note, where there is nothing like it here."""
    name, event = spec["name"], spec.get("eventTime")
    if not event:
        result.note(name, "left out: it has no event time, so no history to join by")
        return None
    keys: dict[str, str] = {}
    columns: dict[str, tuple[str, str]] = {}
    time = None
    for each in spec["features"]:
        kind = type_of(each["type"])
        if kind is None:
            result.note(f"{name}:{each['name']}", f"left out: no type for {each['type']}")
        elif each["name"] == event:
            time = kind
        elif each.get("primary"):
            keys[each["name"]] = kind
        else:
            columns[each["name"]] = (kind, each.get("description") or "")
    if not keys or not columns or time is None:
        lacks = "primary key" if not keys else "feature" if not columns else "event time column"
        result.note(name, f"left out: it has no {lacks}")
        return None
    for each in _not_translated(spec):
        result.note(name, each)
    ttl = spec.get("ttl") if spec.get("ttlEnabled", True) else None
    return Group(
        name, keys, columns,
        event_time=_event_time(name, event, time, epoch), table=_table(spec, result),
        ttl=format_duration(round(float(ttl) * 1e6)) if ttl else None,
        description=spec.get("description") or "",
        labels=_labels(spec),
    )  # fmt: skip


def _event_time(name: str, column: str, kind: str, epoch: str | None) -> str:
    if kind not in NUMBERS:
        return as_text(column)
    if epoch is None:
        raise InputError(
            f"the event time {column!r} of feature group {name!r} is a number",
            got="no unit", expected="one of s, ms, us, ns", hint="Say it: --epoch s",
        )  # fmt: skip
    return f"sl.Epoch({as_text(column)}, {as_text(epoch)})"


def _table(spec: Spec, result: Translation) -> str | None:
    """Return where the history lies, as code; None, with a note, where it cannot be read."""
    if connector := spec.get("storageConnector"):
        kind = str(connector.get("storageConnectorType") or "").upper()
        if (database := _DATABASES.get(kind)) and spec.get("query"):
            return f"sl.{database}(query={as_text(spec['query'])})"
        result.note(spec["name"], f"its table is behind a connector of {kind or 'no known kind'}")
        return None
    location, form = str(spec.get("location") or ""), str(spec.get("timeTravelFormat") or "NONE")
    if form.upper() == "DELTA" and location.startswith(_READ):
        return f'sl.Delta({as_text(location)}, timezone="UTC")'
    result.note(
        spec["name"],
        f"its history ({form} in {location or 'no place that is said'}) is not read from here: "
        "push it with backdate=True, or give the source a table=",
    )
    return None


def _not_translated(spec: Spec) -> Iterator[str]:
    if suite := spec.get("expectationSuite"):
        count = len(suite.get("expectations") or ())
        yield f"its {count} expectations are checks by skewless.plugs.great_expectations.checks_of"
    if spec.get("transformationFunctions"):
        yield "its transformation functions are not translated: write them as @sl.on_demand"
    if spec.get("embeddingIndex"):
        yield "its embedding index is not translated"
    if topic := spec.get("onlineTopicName") or spec.get("topicName"):
        yield f"its topic {topic} holds rows for Hopsworks' own online store: push to the source"
    if spec.get("deprecated"):
        yield "it is deprecated there: skewless deprecate says so here"


def _labels(spec: Spec) -> dict[str, object]:
    creator = spec.get("creator") or {}
    return {"owner": creator["email"]} if creator.get("email") else {}

"""Amazon SageMaker Feature Store: what ``aws sagemaker describe-feature-group`` answers."""

from __future__ import annotations

from pathlib import Path

from skewless.errors import InputError
from skewless.plugs.migrate.files import Spec, documents
from skewless.plugs.migrate.groups import Group, write
from skewless.plugs.migrate.written import Translation, as_text

_TYPES = {"Integral": "int", "Fractional": "float", "String": "str"}
_UNITS = {"Seconds": "s", "Minutes": "m", "Hours": "h", "Days": "d", "Weeks": "w"}
_KNOWN = "api_invocation_time"
"""The column that the offline store adds: when the row could be read online."""
CONTRACT = (
    "A deleted record is one more row of nulls in the offline store: features are null after it.",
    "A feature is the newest row's value, as your jobs have computed it. Windows can be "
    "definitions: push the raw rows, and write the aggregation where the column is.",
    f'A row counts from its {_KNOWN} on; as_of="event_time" gives training sets by event time.',
)


def translate(path: Path) -> Translation:
    """Return the definitions of feature groups.

    Args:
        path: a file with one description or a list of them, or a folder of such files.

    Raises:
        InputError: there is none.
    """
    found = documents(path, what="answers of describe-feature-group")
    groups = [each for each in found if "FeatureGroupName" in each and "FeatureDefinitions" in each]
    if not groups:
        raise InputError(
            "no feature group of SageMaker here", where=str(path),
            expected="FeatureGroupName and FeatureDefinitions",
            hint="aws sagemaker describe-feature-group --feature-group-name NAME > NAME.json",
        )  # fmt: skip
    result = Translation(contract=CONTRACT)
    made = [group for each in groups if (group := _group(each, result))]
    result.mapped["feature groups"] = (len(made), len(groups))
    write(made, result, "Features translated from Amazon SageMaker Feature Store.")
    return result


def _group(spec: Spec, result: Translation) -> Group | None:
    name, event = spec["FeatureGroupName"], spec["EventTimeFeatureName"]
    types = {each["FeatureName"]: _type(each) for each in spec["FeatureDefinitions"]}
    key = spec["RecordIdentifierFeatureName"]
    kind = types.pop(key, None)
    time = types.pop(event, None)
    if kind not in ("int", "str") or time is None:
        lacks = "event time among its features" if time is None else f"key can be {kind}"
        result.note(name, f"left out: no {lacks}")
        return None
    for column in [column for column, made in types.items() if made is None]:
        del types[column]
        result.note(f"{name}:{column}", "left out: its type is not said")
    if not types:
        result.note(name, "left out: it has no feature but its key and time")
        return None
    for each in spec["FeatureDefinitions"]:
        if each.get("CollectionType") == "Set":
            result.note(f"{name}:{each['FeatureName']}", "a set there, a list here")
    table = _table(spec, result)
    time_code = as_text(event) if time == "str" else f'sl.Epoch({as_text(event)}, "s")'
    return Group(
        name, {key: kind}, {column: (str(made), "") for column, made in types.items()},
        event_time=time_code, known_time=as_text(_KNOWN) if table else None, table=table,
        ttl=_ttl(spec), description=spec.get("Description") or "",
    )  # fmt: skip


def _type(each: Spec) -> str | None:
    kind = _TYPES.get(each.get("FeatureType", ""))
    collection = each.get("CollectionType")
    if kind is None or collection is None:
        return kind
    if collection == "Vector":
        size = each.get("CollectionConfig", {}).get("VectorConfig", {}).get("Dimension")
        return f"sl.Vector({size})" if size else None
    return f"sl.List({kind})"


def _ttl(spec: Spec) -> str | None:
    said = (spec.get("OnlineStoreConfig") or {}).get("TtlDuration")
    return f"{said['Value']}{_UNITS[said['Unit']]}" if said else None


def _table(spec: Spec, result: Translation) -> str | None:
    """Return the table of the offline store as code; None, with a note, where there is none."""
    offline = spec.get("OfflineStoreConfig")
    if not offline:
        result.note(spec["FeatureGroupName"], "it has no offline store: history begins with pushes")
        return None
    catalog = offline.get("DataCatalogConfig") or {}
    if offline.get("TableFormat") == "Iceberg":
        if "TableName" not in catalog:
            result.note(spec["FeatureGroupName"], "its Iceberg table is not said: give it a table=")
            return None
        table = f"{catalog['Database']}.{catalog['TableName']}"
        result.note(
            spec["FeatureGroupName"],
            '[connections.glue] of skewless.toml says how the catalog is reached: type = "glue"',
        )
        return f'sl.Iceberg({as_text(table)}, catalog="glue", timezone="UTC")'
    stored = offline["S3StorageConfig"]
    place = stored.get("ResolvedOutputS3Uri")
    if place is None:
        result.note(
            spec["FeatureGroupName"],
            f"where its files lie is not said below {stored['S3Uri']}: give the source a table=",
        )
        return None
    return f'sl.Parquet({as_text(place)}, timezone="UTC")'

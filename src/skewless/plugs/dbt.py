"""dbt: its models as sources, with columns, tests, freshness and owners; what its tests refuse is
refused here; feature services go back as exposures.

    shop = DbtProject("dbt/target")                  # of `dbt build`
    payments = shop.source("payments", sl.Postgres("analytics.payments"))
    card = shop.entity("payments")

    shop.note(fs)                                    # results of its tests, in our ledger
    shop.materialize(fs)                             # but for features whose tests failed
    write_exposures(fs, "dbt/models/skewless.yml")   # `dbt docs` shows who uses a model

A model says what skewless needs to know of it beside its columns:

    config:
      meta:
        skewless: {entity: {card: card_id}, event_time: paid_at, row_id: payment_id}

Only files are read: ``manifest.json`` (v12), ``run_results.json`` (v6) and ``sources.json`` (v3).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from skewless.checks.results import CheckResult
from skewless.definitions import Entity, FeatureView, Source
from skewless.definitions.checks import Check
from skewless.definitions.tables import Parquet, Table
from skewless.definitions.words import Column
from skewless.errors import CheckFailed, DefinitionError, InputError, UnknownName
from skewless.forks import cached_property
from skewless.materialize.materialize import MaterializeResult
from skewless.plugs.foreign_checks import noted_report
from skewless.quality.check import HISTORY, QualityReport
from skewless.store import FeatureStore
from skewless.types import Decimal, Json, List

_TYPES: dict[str, Any] = {
    **dict.fromkeys(["varchar", "text", "string", "char", "character", "character varying", "uuid",
                     "bpchar", "nvarchar"], str),
    **dict.fromkeys(["bigint", "integer", "int", "smallint", "tinyint", "int2", "int4", "int8",
                     "int64", "hugeint", "long"], int),
    **dict.fromkeys(["double", "double precision", "float", "real", "float4", "float8",
                     "float64"], float),
    **dict.fromkeys(["bool", "boolean"], bool),
    **dict.fromkeys(["timestamp", "timestamptz", "timestamp with time zone",
                     "timestamp without time zone", "timestamp_tz", "timestamp_ntz",
                     "datetime"], datetime),
    **dict.fromkeys(["bytea", "blob", "bytes", "binary", "varbinary"], bytes),
    **dict.fromkeys(["json", "jsonb", "variant"], Json),
}  # fmt: skip
"""Names of types in warehouses, without their sizes."""
_TIMES = {"minute": "m", "hour": "h", "day": "d"}
_GOOD = frozenset({"success", "pass", "no-op"})
BY = "dbt"


class DbtProject:
    """What a run of dbt has left behind.

    Args:
        target: the folder with ``manifest.json``.

    Raises:
        InputError: there is none, or it is of another version.
    """

    def __init__(self, target: str | Path) -> None:
        self._target = Path(target)
        self._manifest = self._read("manifest.json", 12)
        if self._manifest is None:
            raise InputError(
                "no manifest of dbt", got=str(self._target / "manifest.json"),
                hint="Run dbt build, and give its folder target/.",
            )  # fmt: skip

    def source(
        self, name: str, table: Table | None = None, *, partly: bool = False, **options: Any
    ) -> Source:
        """Return a model, or a table of dbt's sources, as a source.

        Its columns, descriptions and owner are the model's; its tests (`not_null`, `unique`,
        `accepted_values`, and `accepted_range` of dbt_utils) are checks, which block where their
        severity is ``error``; so is a freshness promised for its event time.

        Args:
            name: of the model, or ``source.table``.
            table: where its rows are read; by default the file of an external model, if it is one.
                None: they are pushed.
            partly: whether tests without counterpart are left out of the checks. Their results
                count all the same, see `note`.
            options: of `Source`, over what the model says.

        Raises:
            UnknownName: there is no such model.
            DefinitionError: a column's type is not said or not known, or no event time is said.
            InputError: a test has no counterpart.
        """
        node = self._node(name)
        said = _said(node)
        if "event_time" not in said | options:
            raise DefinitionError(
                f"dbt's {name!r} says no event time",
                hint="Say it in the model: config: {meta: {skewless: {event_time: ...}}}.",
            )
        times = [said.get("event_time"), said.get("known_time")]
        schema = {
            each["name"]: _typed(name, each) for each in node["columns"].values()
            if each["name"] not in times
        }  # fmt: skip
        checks = self._checks(node, partly)
        given: dict[str, Any] = {
            key: said[key] for key in ("event_time", "known_time", "delay", "row_id")
                 if key in said}  # fmt: skip
        given |= {
            "schema": schema, "checks": checks, "owner": self._owner(node),
            "description": node.get("description", ""),
            "table": table or self._external(node),
        }  # fmt: skip
        return Source(_named(node), **(given | options))

    def entity(self, name: str) -> Entity:
        """Return the entity that a model says it is about.

        Raises:
            UnknownName: there is no such model.
            DefinitionError: it says none, or a key that is no column of known type.
        """
        node = self._node(name)
        said = _said(node).get("entity")
        if not isinstance(said, Mapping) or len(said) != 1:
            raise DefinitionError(
                f"dbt's {name!r} says no entity", got=repr(said), expected="{card: card_id}",
            )  # fmt: skip
        ((entity, keys),) = said.items()
        columns = node["columns"]
        names = [keys] if isinstance(keys, str) else list(keys)
        for key in names:
            if key not in columns:
                raise UnknownName.of("column", key, columns, where=f"dbt's {name!r}")
        types = {key: _typed(name, columns[key]).dtype for key in names}
        return Entity(entity, **types)

    def note(self, fs: FeatureStore) -> QualityReport:
        """Note the results of dbt's newest run in the ledger: metrics and alerts tell of them.

        A test that has no result does not hold: `dbt build` has not come to it.
        """
        results: list[CheckResult] = []
        for name in fs.sources:
            results += noted_report(fs, HISTORY, BY, self._results(name), block=False).results
        return QualityReport(fs.runtime.clock.now(), tuple(results))

    def refuse_failed(self, fs: FeatureStore, features: Any) -> None:
        """Raise where a test of a model behind some features has failed.

        Args:
            fs: the store.
            features: see `FeatureStore.get_online_features`.

        Raises:
            CheckFailed: a test of severity ``error`` failed, has no result, or its model was not
                built.
        """
        selection = fs.runtime.reader.lookup(features, False).selection
        for need in selection.views:
            if bad := self._failed(fs, need.view):
                problem = CheckFailed(
                    f"the features of {need.view.name!r} are refused: a test of dbt fails",
                    got=f"{bad[0]}", hint="Run dbt build until it passes.",
                )  # fmt: skip
                problem.results = bad
                raise problem

    def materialize(
        self, fs: FeatureStore, views: Iterable[str] | None = None, **options: Any
    ) -> list[MaterializeResult]:
        """Materialize the views whose models passed their tests; then refuse the others.

        Args:
            fs: the store.
            views: names; None for all.
            options: of `FeatureStore.materialize`.

        Raises:
            CheckFailed: a view was left out; the others are up to date.
        """
        wanted = [view for view in fs.views.values() if isinstance(view, FeatureView)]
        if views is not None:
            names = list(views)
            wanted = [view for view in wanted if view.name in names]
        failed = {view.name: bad for view in wanted if (bad := self._failed(fs, view))}
        good = [view.name for view in wanted if view.name not in failed]
        done = fs.materialize(good, **options) if good else []
        if failed:
            first = next(iter(failed.values()))
            problem = CheckFailed(
                f"not materialized: {', '.join(failed)}", got=f"{first[0]}",
                hint="A test of dbt fails; the other views are up to date.",
            )  # fmt: skip
            problem.results = tuple(each for bad in failed.values() for each in bad)
            raise problem
        return list(done)

    def reference(self, source: str) -> str | None:
        """Return how dbt refers to the model behind a source; None: it has none."""
        node = self._by_name.get(source)
        if node is None:
            return None
        if node["resource_type"] == "source":
            return f"source('{node['source_name']}', '{node['name']}')"
        return f"ref('{node['name']}')"

    # ------------------------------------------------------------------------- what files say

    def _read(self, name: str, version: int) -> dict[str, Any] | None:
        path = self._target / name
        if not path.exists():
            return None
        data: dict[str, Any] = json.loads(path.read_text("utf-8"))
        schema = data.get("metadata", {}).get("dbt_schema_version", "")
        found = re.search(r"/v(\d+)\.json", schema)
        if found is None or int(found[1]) != version:
            raise InputError(
                f"{name} of another version", got=schema or "none", expected=f"v{version}",
                where=str(path),
            )  # fmt: skip
        return data

    @cached_property
    def _by_name(self) -> dict[str, dict[str, Any]]:
        """Models and source tables by the name of their source here."""
        assert self._manifest is not None
        nodes = [
            each for each in self._manifest["nodes"].values()
            if each["resource_type"] in ("model", "seed", "snapshot")
        ]  # fmt: skip
        return {_named(node): node for node in [*nodes, *self._manifest["sources"].values()]}

    @cached_property
    def _tests(self) -> dict[str, list[dict[str, Any]]]:
        """Tests by the node that they are of."""
        assert self._manifest is not None
        found: dict[str, list[dict[str, Any]]] = {}
        for each in self._manifest["nodes"].values():
            if each["resource_type"] == "test":
                of = each.get("attached_node")
                for node in [of] if of else each["depends_on"]["nodes"]:
                    found.setdefault(node, []).append(each)
        return found

    @cached_property
    def _outcomes(self) -> dict[str, dict[str, Any]]:
        """What the newest run says of each node; of sources, how fresh they were."""
        runs = self._read("run_results.json", 6) or {"results": []}
        fresh = self._read("sources.json", 3) or {"results": []}
        return {each["unique_id"]: each for each in [*fresh["results"], *runs["results"]]}

    def _node(self, name: str) -> dict[str, Any]:
        found = self._by_name.get(name.replace(".", "_"))
        if found is None:
            raise UnknownName.of("model", name, self._by_name, where=str(self._target))
        return found

    def _owner(self, node: Mapping[str, Any]) -> str:
        """Return who answers for a model: its ``meta.owner``, else the owner of its group."""
        if owner := _meta(node).get("owner"):
            return str(owner)
        assert self._manifest is not None
        groups = self._manifest.get("groups", {}).values()
        for each in groups:
            if each["name"] == node.get("group"):
                owner = each["owner"]
                return str(owner.get("name") or owner.get("email") or "")
        return ""

    def _external(self, node: Mapping[str, Any]) -> Table | None:
        """Return the file of a model that dbt-duckdb writes to one."""
        config = node.get("config", {})
        location = config.get("location")
        if config.get("materialized") != "external" or not location:
            return None
        return Parquet(str(location)) if str(location).endswith(".parquet") else None

    # ----------------------------------------------------------------------------------- tests

    def _checks(self, node: Mapping[str, Any], partly: bool) -> list[Check]:
        found: list[Check] = []
        missing: list[str] = []
        for each in self._tests.get(node["unique_id"], []):
            made = _check(each)
            if made is None:
                missing.append(each["name"])
            else:
                found.append(made)
        found += _freshness(node)
        if missing and not partly:
            raise InputError(
                f"tests of dbt's {node['name']!r} that have no counterpart",
                got=", ".join(missing), hint="partly=True leaves them out; `note` and "
                "`materialize` look at their results all the same.",
            )  # fmt: skip
        return found

    def _results(self, source: str) -> Iterator[CheckResult]:
        """Yield what dbt says of the model behind a source; nothing of sources it has not."""
        node = self._by_name.get(source)
        if node is None:
            return
        for each in [node, *self._tests.get(node["unique_id"], [])]:
            outcome = self._outcomes.get(each["unique_id"])
            is_test = each["resource_type"] == "test"
            if outcome is None and not is_test:
                continue  # a model that this run has not built, or a source without freshness
            yield _result(source, each, outcome, is_test)

    def _failed(self, fs: FeatureStore, view: FeatureView) -> tuple[CheckResult, ...]:
        names, source = [view.source.name], view.source
        while source.derivation is not None:
            source = fs.sources[source.derivation.source]
            names.append(source.name)
        found = (each for name in names for each in self._results(name))
        return tuple(each for each in found if not each.ok and each.action == "block")


def write_exposures(fs: FeatureStore, path: str | Path, project: DbtProject) -> list[str]:
    """Write feature services as exposures, so that dbt's docs and lineage show what feels a model.

    Args:
        fs: the store.
        path: of a file of YAML in a folder of dbt's models; it is replaced.
        project: whose models they depend on.

    Returns:
        The names of the services; those that use no model of dbt are left out.
    """
    lines, written = ["# Written by skewless: feature services.", "version: 2", "exposures:"], []
    for name, service in sorted(fs.services.items()):
        selection = fs.runtime.reader.lookup(name, False).selection
        refs = dict.fromkeys(
            ref for need in selection.views if (ref := project.reference(need.view.source.name))
        )
        if not refs:
            continue
        owner = service.labels.get("owner") or "unknown"
        about = service.labels.get("description") or f"Feature service {name} of skewless."
        lines += [
            f"  - name: {name}", "    type: ml", f"    description: {json.dumps(about)}",
            f"    owner: {{name: {json.dumps(owner)}}}", "    depends_on:",
            *(f"      - {ref}" for ref in refs),
        ]  # fmt: skip
        written.append(name)
    text = "\n".join(lines) if written else "version: 2"
    Path(path).write_text(text + "\n", "utf-8")
    return written


def _named(node: Mapping[str, Any]) -> str:
    """Return the name of a source here: that of a model, or ``source_table``."""
    if node["resource_type"] == "source":
        return f"{node['source_name']}_{node['name']}"
    return str(node["name"])


def _meta(node: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**node.get("meta", {}), **node.get("config", {}).get("meta", {})}


def _said(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a model says for skewless."""
    return dict(_meta(node).get("skewless", {}))


def _typed(model: str, column: Mapping[str, Any]) -> Any:
    """Return a column with its type and description."""
    name, given = column["name"], column.get("data_type")
    if not given:
        raise DefinitionError(
            f"dbt's {model!r} does not say the type of column {name!r}",
            hint="Say data_type: in its YAML; a contract that is enforced wants it anyway.",
        )
    said = {"description": column["description"]} if column.get("description") else {}
    tags = dict.fromkeys(column.get("tags", ()), True)
    return Column(_dtype(str(given), f"column {name!r} of dbt's {model!r}"), **said, tags=tags)


def _dtype(given: str, where: str) -> Any:
    text = given.strip().lower()
    if text.endswith("[]"):
        return List(_dtype(text[:-2], where))
    if exact := re.fullmatch(r"(?:decimal|numeric|number)\((\d+)\s*,\s*(\d+)\)", text):
        return Decimal(int(exact[1]), int(exact[2]))
    if text == "date":
        from datetime import date

        return date
    found = _TYPES.get(re.sub(r"\s*\([^)]*\)", "", text))
    if found is None:
        raise DefinitionError("a type that is not known", got=given, where=where)
    return found


def _check(test: Mapping[str, Any]) -> Check | None:
    """Return a test as a check; None: it has no counterpart."""
    config, about = test["config"], test.get("test_metadata") or {}
    if config.get("where") or config.get("error_if") != "!= 0" or config.get("limit"):
        return None
    severity = str(config.get("severity", "error")).lower()
    action: dict[str, Any] = {"action": "block" if severity == "error" else "warn"}
    column, given = test.get("column_name"), about.get("kwargs", {})
    if not column:
        return None
    match about.get("namespace"), about.get("name"):
        case None, "not_null":
            return Check.not_null(column, **action)
        case None, "unique":
            return Check.unique(column, **action)
        case None, "accepted_values":
            return Check.in_set(column, given["values"], **action)
        case "dbt_utils", "accepted_range" if given.get("inclusive", True):
            least, greatest = given.get("min_value"), given.get("max_value")
            if not any(isinstance(each, str) for each in (least, greatest)):  # a text is SQL
                return Check.between(column, least, greatest, **action)
    return None


def _freshness(node: Mapping[str, Any]) -> Iterator[Check]:
    """Yield what is promised of the age of a table, where it is that of our event time."""
    promised = node.get("freshness") or {}
    if node.get("loaded_at_field") != _said(node).get("event_time") or promised.get("filter"):
        return
    for level, action in (("error_after", "block"), ("warn_after", "warn")):
        limit = promised.get(level) or {}
        if limit.get("count"):
            yield Check.fresh(f"{limit['count']}{_TIMES[limit['period']]}", action=action)


def _result(
    source: str, node: Mapping[str, Any], outcome: Mapping[str, Any] | None, is_test: bool
) -> CheckResult:
    status = "no result" if outcome is None else str(outcome["status"])
    ok = status in _GOOD
    severity = str(node["config"].get("severity", "error")).lower()
    warns = status == "warn" or (is_test and severity == "warn")
    failing = int((outcome or {}).get("failures") or not ok)
    said = str((outcome or {}).get("message") or "") or status
    what = "test" if is_test else node["resource_type"]
    return CheckResult(
        source, f"{what} {node['name']}", "dbt", ok, 0, failing, "" if ok else f"{status}: {said}",
        (), "warn" if warns else "block",
    )  # fmt: skip

"""Chronon: compiled GroupBys and Joins (thrift as JSON), below ``production/``.

They name columns without types, so these are said beside: for each table, its columns as the
``selects`` name them, in the types of Spark's DESCRIBE.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from skewless.errors import DefinitionError, InputError
from skewless.plugs.migrate.files import Spec, documents
from skewless.plugs.migrate.hive import type_of
from skewless.plugs.migrate.written import (
    Entities,
    Translation,
    as_text,
    column_of,
    file_of,
    python_name,
    source_code,
    view_code,
)

CONTRACT = (
    "The start of a window is exact here; there it is rounded down to its hop (5 minutes to a "
    "day), so windows hold up to a hop more.",
    "Percentiles and distinct counts are exact here; there they are sketches.",
    "The left side of a join is your spine; times of tables are those of a session in UTC.",
)
_NAMES = (
    "min", "max", "first", "last", "unique_count", "approx_unique_count", "count", "sum", "average",
    "variance", "skew", "kurtosis", "approx_percentile", "last_k", "first_k", "top_k", "bottom_k",
    "histogram", "approx_histogram_k",
)  # fmt: skip
"""Operations by their number."""
_SAME = {
    "min": "min({})", "max": "max({})", "first": "first({}, skip_nulls=True)",
    "last": "latest({}, skip_nulls=True)", "unique_count": "n_unique({})",
    "approx_unique_count": "n_unique({})", "count": "count({})", "sum": "sum({})",
    "average": "mean({})", "variance": "var({})", "skew": "skew({})", "kurtosis": "kurtosis({})",
}  # fmt: skip
_UNITS = ("h", "d")
_SNAPSHOT = "snapshot_end"


def translate(path: Path, types: Path | None = None) -> Translation:
    """Return the definitions of compiled GroupBys and Joins.

    Args:
        path: of a compiled file, or a folder of them.
        types: a JSON file: table to column to type, as Spark writes types.

    Raises:
        InputError: there is none, or types of columns are not said.
    """
    found = [
        each for each in documents(path, what="compiled files of Chronon") if "metaData" in each
    ]
    joins = {each["metaData"]["name"]: each for each in found if "joinParts" in each}
    parts = [part["groupBy"] for join in joins.values() for part in join["joinParts"]]
    groups = {each["metaData"]["name"]: each for each in [*parts, *found] if "keyColumns" in each}
    if not groups:
        raise InputError(
            "no GroupBy or Join of Chronon here", where=str(path),
            expected="a compiled file, such as production/group_bys/team/name.v1",
        )  # fmt: skip
    said: dict[str, dict[str, str]] = {} if types is None else json.loads(types.read_text("utf-8"))
    return _Writer(groups, joins, said).written()


class _Writer:
    """Writes ``features.py``, part by part."""

    def __init__(
        self, groups: dict[str, Spec], joins: dict[str, Spec], types: dict[str, dict[str, str]]
    ) -> None:
        self.groups, self.joins = groups, joins
        self.types = types
        self.result = Translation(contract=CONTRACT)
        self.lacking: dict[str, set[str]] = {}
        """Table to columns whose type nobody said."""
        called = [python_name(name) for name in (*groups, *joins)]
        self.entities = Entities(self.result, [*called, *(f"{name}_rows" for name in called)])
        self.written_groups: set[str] = set()
        self.roles: list[str] = []

    def written(self) -> Translation:
        sources, views = [], []
        for name, spec in self.groups.items():
            try:
                source, view = self._group(python_name(name), _Rows.of(spec), spec)
            except DefinitionError as problem:
                self.result.note(name, f"left out: {problem}")
                continue
            sources.append(source)
            views.append(view)
            self.written_groups.add(name)
        if self.lacking:
            wanted = {table: dict.fromkeys(sorted(c), "?") for table, c in self.lacking.items()}
            raise InputError(
                "compiled files of Chronon do not say types", got="none for these columns",
                expected=f"a file with them: {json.dumps(wanted)}",
                hint="Fill it in as DESCRIBE TABLE of Spark has it: --types types.json",
            )  # fmt: skip
        self.result.mapped["group bys"] = (len(views), len(self.groups))
        services = list(self._services())
        parts = [str(self.entities), *sources, *views, "\n".join(self.roles), *services]
        self.result.code = file_of("Features translated from Chronon.", parts)
        return self.result

    def _group(self, name: str, rows: _Rows, spec: Spec) -> tuple[str, str]:
        keys = list(spec["keyColumns"])
        source = f"{name}_rows"
        if rows.snapshot:
            features = {
                python_name(column): f'{column_of(source, column)}.latest(ttl="1d")'
                for column in rows.columns
                if column not in keys
            }
            used = [*keys, *(column for column in rows.columns if column not in keys)]
            self.result.note(
                name, "a snapshot is valid for a day, as there; where one is missing, values expire"
            )
        else:
            features = dict(self._aggregations(name, source, spec["aggregations"]))
            used = [*keys, *_inputs(spec["aggregations"])]
            if spec.get("accuracy") == 1 or (spec.get("accuracy") is None and not rows.topics):
                self.result.note(name, "values are of the last midnight there, of the moment here")
        if not features:
            raise DefinitionError("none of its aggregations is known here")
        types = self._types(rows.table, used)
        entity = self.entities.of(
            "_".join(map(python_name, keys)), {key: types.get(key, "?") for key in keys}, name
        )
        for topic in rows.topics:
            self.result.note(name, f"its stream {topic} is not read yet: give its source a stream=")
        code = source_code(
            source, types,
            event_time=as_text(_SNAPSHOT) if rows.snapshot else f'sl.Epoch("{rows.time}", "ms")',
            table=f'sl.SparkTable(query={as_text(rows.query(used))}, timezone="UTC")',
            closed=None if rows.snapshot else '"left"',  # rows of the moment itself do not count
        )  # fmt: skip
        team = spec["metaData"].get("team")
        labels = {"owner": team} if team else {}
        view = view_code(name, entity=entity, source=source, features=features, labels=labels)
        return code, view

    def _types(self, table: str, columns: Iterable[str]) -> dict[str, str]:
        said = self.types.get(table, {})
        found: dict[str, str] = {}
        for column in dict.fromkeys(columns):
            kind = type_of(said[column]) if column in said else None
            if kind is None:
                self.lacking.setdefault(table, set()).add(column)
            else:
                found[column] = kind
        return found

    def _aggregations(
        self, name: str, source: str, aggregations: Iterable[Spec]
    ) -> Iterator[tuple[str, str]]:
        """Yield features, called as there, to their expressions."""
        for each in aggregations:
            number = each["operation"]
            kind = _NAMES[number] if number < len(_NAMES) else f"number {number}"
            column = column_of(source, each["inputColumn"])
            for window in each.get("windows") or [None]:
                length = "" if window is None else f"{window['length']}{_UNITS[window['timeUnit']]}"
                written = as_text(length) if length else "sl.lifetime()"
                for bucket in each.get("buckets") or [None]:
                    by = f", by={as_text(bucket)}" if bucket else ""
                    after = (f"_{length}" if length else "") + (f"_by_{bucket}" if bucket else "")
                    made = dict(_calls(kind, each, written + by))
                    if not made:
                        self.result.note(
                            f"{name}:{each['inputColumn']}_{kind}{after}",
                            f"left out: {kind} has no equal here",
                        )
                    for suffix, call in made.items():
                        called = python_name(f"{each['inputColumn']}_{suffix}{after}")
                        on = source if kind == "histogram" else column
                        yield called, f"{on}.{call}"
            if kind == "last_k":
                self.result.note(f"{name}:{each['inputColumn']}", "the newest are last here")

    def _services(self) -> Iterator[str]:
        """Yield a service for each join, and before it the views in their roles there."""
        made, roles = 0, dict[str, str]()
        for name, join in self.joins.items():
            members = []
            for part in join["joinParts"]:
                group = part["groupBy"]["metaData"]["name"]
                if group not in self.written_groups:
                    self.result.note(name, f"without {group}")
                    continue
                called, code = _role(part, group)
                if roles.setdefault(called, code) != code:
                    self.result.note(
                        name, f"without {group}: another join asks for it by other keys"
                    )
                    continue
                members.append(called)
            for said in _left_out(join):
                self.result.note(name, said)
            if members:
                made += 1
                own = python_name(name)
                lines = "".join(f"        {each},\n" for each in members)
                inside = f"    {as_text(own)},\n    [\n{lines}    ],\n"
                yield f"{own} = sl.FeatureService(\n{inside})"
        if self.joins:
            self.result.mapped["joins"] = (made, len(self.joins))
        self.roles = [f"{called} = {code}" for called, code in roles.items()]


def _role(part: Spec, group: str) -> tuple[str, str]:
    """Return a GroupBy as a join has it, its columns called as there: variable and code."""
    view = python_name(group)
    prefix = "_".join(filter(None, (part.get("prefix"), re.sub(r"\W", "_", group))))
    first = f"prefix={as_text(prefix + '_')}"
    keys = [
        f"{python_name(key)}={as_text(python_name(left))}"
        for left, key in (part.get("keyMapping") or {}).items()
        if left != key
    ]
    code = f"{view}.of({', '.join([first, *keys])})"
    return f"{view}_as_{python_name(prefix)}", code


class _Rows:
    """The rows that a GroupBy is over, as a query of Spark.

    Args:
        sources: of the GroupBy: events, or snapshots of entities.
        aggregated: whether it aggregates; else each partition holds one row for each key.
    """

    def __init__(self, sources: list[Spec], *, aggregated: bool) -> None:
        self._sources = [each.get("events") or each.get("entities") or {} for each in sources]
        self.snapshot = not aggregated
        if not all(self._sources):
            raise DefinitionError("it is over a join")
        if aggregated and any("entities" in each for each in sources):
            raise DefinitionError("it aggregates snapshots or mutations of entities")
        if any(each["query"].get("reversalColumn") for each in self._sources):
            raise DefinitionError("its rows take others back")
        self.table = _table(self._sources[0])[0]
        self.topics = [
            t for each in self._sources if (t := each.get("topic") or each.get("mutationTopic"))
        ]
        self.columns = [*(self._sources[0]["query"].get("selects") or {})]
        self.time = "ts"
        if self.snapshot and not self.columns:
            raise DefinitionError("it does not say which columns it selects")
        if aggregated and not all(each["query"].get("timeColumn") for each in self._sources):
            raise DefinitionError("its source has no time column")

    @classmethod
    def of(cls, spec: Spec) -> _Rows:
        return cls(spec["sources"], aggregated=bool(spec.get("aggregations")))

    def query(self, columns: Iterable[str]) -> str:
        """Return the SELECT of columns and time, over all sources."""
        return " UNION ALL ".join(self._select(each, columns) for each in self._sources)

    def _select(self, source: Spec, columns: Iterable[str]) -> str:
        query = source["query"]
        selects: Mapping[str, str] = query.get("selects") or {}
        listed = [_aliased(selects.get(each, each), each) for each in dict.fromkeys(columns)]
        if self.snapshot:
            listed.append(f"CAST(date_add(ds, 1) AS TIMESTAMP) AS {_SNAPSHOT}")
        else:
            listed.append(_aliased(query["timeColumn"], self.time))
        table, conditions = _table(source)
        conditions += [f"({each})" for each in query.get("wheres") or ()]
        if start := query.get("startPartition"):
            conditions.append(f"ds >= '{start}'")
        if end := query.get("endPartition"):
            conditions.append(f"ds <= '{end}'")
        if source.get("isCumulative"):
            conditions.append(f"ds = (SELECT max(ds) FROM {table})")
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return f"SELECT {', '.join(listed)} FROM {table}{where}"


def _table(source: Spec) -> tuple[str, list[str]]:
    """Return the name of a table, and what its subpartitions ask for: ``db.t/system=mobile``."""
    name, *partitions = (source.get("table") or source.get("snapshotTable") or "").split("/")
    pairs = [each.partition("=") for each in partitions]
    return name, [f"{column} = '{value}'" for column, _, value in pairs]


def _aliased(expression: str, name: str) -> str:
    return name if expression == name else f"{expression} AS {name}"


def _inputs(aggregations: Iterable[Spec]) -> Iterator[str]:
    for each in aggregations:
        yield each["inputColumn"]
        yield from each.get("buckets") or ()


def _calls(kind: str, each: Spec, options: str) -> Iterator[tuple[str, str]]:
    """Yield the end of a feature's name and the call of an operation; none that has no equal."""
    arguments: Mapping[str, Any] = each.get("argMap") or {}
    if kind in _SAME:
        yield kind, _SAME[kind].format(options)
    elif kind in ("last_k", "first_k"):
        which = kind.removesuffix("_k")
        yield f"{which}{arguments['k']}", f"{which}_n({arguments['k']}, {options})"
    elif kind == "histogram" and "by=" not in options:
        yield kind, f"count({options}, by={as_text(each['inputColumn'])})"
    elif kind == "approx_percentile":
        for share in json.loads(arguments.get("percentiles", "[0.5]")):
            percent = f"{share * 100:g}".replace(".", "_")
            yield f"approx_percentile_p{percent}", f"quantile({share:g}, {options})"


def _left_out(join: Spec) -> Iterator[str]:
    for each in join.get("derivations") or ():
        if each["name"] != "*":
            yield f"write {each['name']} = {each['expression']} as an @sl.on_demand"
    if join.get("onlineExternalParts"):
        yield "its external parts are asked of others: give such values with the request"
    if join.get("labelPart"):
        yield "its labels are columns of the spine"
    if join.get("bootstrapParts"):
        yield "its bootstrap tables are not translated: push their rows with backdate=True"

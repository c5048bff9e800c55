"""pandera: its schemas as checks, ours as its schemas, the rows it refuses in quarantine.

    payments = sl.Source(..., checks=checks_of(schema, {"amount": float}))  # carried out by us
    report = check(fs, "payments", schema)     # carried out by pandera, noted in our ledger
    push(fs, "payments", rows, schema)         # what fails goes to quarantine, the rest comes in
    schema_of(fs.sources["payments"]).validate(frame)

Schemas of pandas and of Polars, and models of either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import pandera.pandas
import pyarrow as pa
from pandera.errors import SchemaError, SchemaErrorReason, SchemaErrors

from skewless.checks.results import CheckResult
from skewless.definitions import FeatureView, Source
from skewless.definitions.checks import Check
from skewless.errors import CheckFailed, InputError
from skewless.ingest.push import PushResult
from skewless.plan.results import TrainingSet
from skewless.plugs.foreign_checks import (
    holds,
    left_out,
    length_pattern,
    moment_of,
    next_to,
    noted_report,
    pattern_of,
    push_without,
    table_of,
    types_of,
)
from skewless.quality.check import QualityReport
from skewless.store import FeatureStore
from skewless.stores.offline.as_table import as_table
from skewless.types import DType

_OF_ROWS = frozenset(
    {
        SchemaErrorReason.SERIES_CONTAINS_NULLS,
        SchemaErrorReason.SERIES_CONTAINS_DUPLICATES,
        SchemaErrorReason.DUPLICATES,
        SchemaErrorReason.DATATYPE_COERCION,
        SchemaErrorReason.DATAFRAME_CHECK,
    }
)
"""What single rows are refused for; everything else is said of a frame."""
_NO_CHECKS = frozenset({"change_of_count", "fresh"})
"""Of ours, those that need more than a frame."""
_DTYPES = {
    "bool": "boolean", "int32": "Int32", "int64": "Int64", "float32": "float32",
    "float64": "float64", "timestamp": pd.DatetimeTZDtype("us", "UTC"),
}  # fmt: skip
_NULLABLE = {
    pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype(), pa.bool_(): pd.BooleanDtype(),
}  # fmt: skip
"""Frames' types for columns with nulls, which would become others."""
EXAMPLES = 3


def checks_of(
    schema: Any, types: Mapping[str, Any] | Source | None = None, *, action: str = "warn",
    partly: bool = False,
) -> list[Check]:  # fmt: skip
    """Return the checks of a schema as checks of a source or a view.

    They are carried out at every point where ours are: at a push, over history, over the values of
    now, of training sets and those served.

    Args:
        schema: a DataFrameSchema, or a DataFrameModel.
        types: column to type, as a source is declared with; a limit that is itself left out
            (``gt``) needs it.
        action: of the checks; those with ``raise_warning`` warn.
        partly: whether what has no counterpart is left out: functions, ``notin``, ``strict``.

    Raises:
        InputError: a check has no counterpart.
    """
    given, known = _schema(schema), types_of(types)
    found: list[Check] = []
    missing = ["a check of the whole frame"] * len(given.checks)
    missing += ["strict"] * bool(given.strict) + ["ordered"] * bool(given.ordered)
    for name, column in given.columns.items():
        if column.regex:
            missing.append(f"columns that match {name!r}")
            continue
        if not column.nullable:
            found.append(Check.not_null(name, action=action))
        if column.unique:
            found.append(Check.unique(name, action=action))
        for each in column.checks:
            try:
                options = {"action": "warn" if each.raise_warning else action}
                found.append(_check(name, each, known.get(name), options))
            except InputError as problem:
                missing.append(f"{name}: {problem.what}")
    if given.unique:
        found.append(Check.unique(*given.unique, action=action))
    if missing and not partly:
        raise left_out(missing, "pandera")
    return found


def schema_of(of: Source | FeatureView) -> pandera.pandas.DataFrameSchema:
    """Return a schema of pandas with the columns of a source or a view, and its checks.

    Columns are brought to their types (``coerce``). Checks that pandera has not (sums, conditions,
    shares of rows) are ours, carried out over the frame; `Check.fresh` and `Check.change_of_count`
    need more than a frame and are left out.
    """
    types = types_of(of)
    single: dict[str, list[Check]] = {name: [] for name in types}
    whole = []
    for each in of.checks:
        native = each.kind in ("not_null", "unique", "between", "in_set", "matches")
        if native and not each.share and len(each.columns) == 1:
            single[each.columns[0]].append(each)
        elif each.kind not in _NO_CHECKS:
            whole.append(_ours(each, types))
    needed = {of.event_time} if isinstance(of, Source) else set()
    columns = {
        name: _column(dtype, single[name], nullable=name not in needed)
        for name, dtype in types.items()
    }
    return pandera.pandas.DataFrameSchema(columns, checks=whole, name=of.name)


def check(
    fs: FeatureStore, of: str | TrainingSet, schema: Any, *, action: str = "warn"
) -> QualityReport:
    """Let pandera look at what the store holds, and note what it finds in the ledger.

    Args:
        fs: the store.
        of: a source (its rows that count), a view (its values now), or a training set. They are
            in memory together, as pandera wants them.
        schema: of pandas or Polars; every check of it is carried out.
        action: ``block``: what fails is also raised.

    Raises:
        UnknownName: no such source or view.
        CheckFailed: it fails, and ``action`` is ``block``.
    """
    label, point, table = table_of(fs, of)
    failures = list(_failures(_schema(schema), table))
    results = [
        CheckResult(
            label, str(each.check), "pandera", False, table.num_rows, len(each.rows) or 1,
            each.said if not each.rows else "", tuple(each.values[:EXAMPLES]), action,
        )
        for each in failures
    ]  # fmt: skip
    if not results:
        name = _schema(schema).name or "a schema of pandera"
        results = [CheckResult(label, str(name), "pandera", True, table.num_rows, 0, action=action)]
    return noted_report(fs, point, "pandera", results)


def push(
    fs: FeatureStore, source: str, rows: Any, schema: Any, *, backdate: bool = False
) -> PushResult:
    """Push the rows that a schema lets through; the others go to quarantine, with reasons.

    Args:
        fs: the store.
        source: whose rows they are.
        rows: see `FeatureStore.push`.
        schema: of pandas or Polars. Rows are pushed as they were given: what it coerces, it
            coerces to look at.
        backdate: see `FeatureStore.push`.

    Raises:
        CheckFailed: what fails is the frame (a column is missing or of another type, a mean is
            off): nothing is pushed.
        RowsRefused: there were rows, and every one is quarantined.
    """
    table = as_table(rows)
    failures = list(_failures(_schema(schema), table))
    for each in failures:
        if not each.rows:
            raise CheckFailed("the push is refused: pandera refuses the rows as a whole",
                              got=each.said, where=f"source {source!r}")  # fmt: skip
    refused = ((each.rows, each.said) for each in failures)
    return push_without(fs, source, table, refused, backdate=backdate)


class _Failure:
    """What a schema says of a frame.

    Attributes:
        check: in pandera's words.
        said: with the column.
        rows: places of the rows that fail; empty: the frame does.
        values: that fail, as text.
    """

    def __init__(self, error: SchemaError) -> None:
        self.check = error.check if error.check is not None else error.reason_code
        name = getattr(error.schema, "name", None)
        what = getattr(self.check, "error", None) or getattr(self.check, "name", None)
        self.check = f"{name or 'the frame'}: {what or self.check}"
        self.rows: list[int] = []
        self.values: list[str] = []
        if error.reason_code in _OF_ROWS:
            self._find_rows(error.failure_cases, error.check_output)
        self.said = self.check if self.rows else f"{self.check}: {error}".partition("\n")[0]

    def _find_rows(self, cases: Any, passed: Any) -> None:
        """Note the rows that fail: a frame of pandas says which, one of Polars which do not."""
        if hasattr(cases, "index") and "index" in cases.columns:
            places = list(cases["index"])
            if not any(map(pd.isna, places)):
                self.rows = sorted({int(place) for place in places})
                self.values = [str(value) for value in cases["failure_case"]]
        elif hasattr(passed, "columns") and "check_output" in passed.columns:
            flags = passed["check_output"].to_list()
            self.rows = [place for place, good in enumerate(flags) if good is False]
            self.values = [" ".join(map(str, row)) for row in cases.head(EXAMPLES).rows()]


def _failures(schema: Any, table: pa.Table) -> Iterator[_Failure]:
    """Yield what fails."""
    try:
        schema.validate(_frame(schema, table), lazy=True)
    except SchemaErrors as errors:
        yield from map(_Failure, errors.schema_errors)


def _frame(schema: Any, table: pa.Table) -> Any:
    """Return a table as the frame that a schema is for; places of rows are its index."""
    if type(schema).__module__.startswith("pandera.api.polars"):
        import polars as pl

        return pl.from_arrow(table)
    frame = table.to_pandas().reset_index(drop=True)
    for name in table.column_names:
        if table[name].type in _NULLABLE and table[name].null_count:
            frame[name] = table[name].to_pandas(types_mapper=_NULLABLE.get)
    return frame


def _schema(given: Any) -> Any:
    """Return a schema; of a model, its schema."""
    schema = given.to_schema() if hasattr(given, "to_schema") else given
    if not hasattr(schema, "columns") or not hasattr(schema, "validate"):
        raise InputError("no schema", got=repr(given), expected="a DataFrameSchema or a model")
    return schema


def _check(name: str, given: Any, dtype: DType | None, options: dict[str, Any]) -> Check:
    """Return a check of one column.

    Raises:
        InputError: it has no counterpart.
    """
    said = given.statistics or {}
    if given.groupby is not None or not given.ignore_na:
        raise InputError(f"{given.error or given.name}, in groups or of nulls")
    match given.name:
        case "greater_than_or_equal_to":
            return Check.between(name, said["min_value"], **options)
        case "greater_than":
            return Check.between(name, next_to(said["min_value"], dtype, above=True), **options)
        case "less_than_or_equal_to":
            return Check.between(name, None, said["max_value"], **options)
        case "less_than":
            highest = next_to(said["max_value"], dtype, above=False)
            return Check.between(name, None, highest, **options)
        case "in_range":
            least, greatest = said["min_value"], said["max_value"]
            if not said.get("include_min", True):
                least = next_to(least, dtype, above=True)
            if not said.get("include_max", True):
                greatest = next_to(greatest, dtype, above=False)
            return Check.between(name, least, greatest, **options)
        case "isin":
            return Check.in_set(name, said["allowed_values"], **options)
        case "equal_to":
            return Check.in_set(name, [said["value"]], **options)
        case "str_length":
            exact = said.get("exact_value")
            pattern = length_pattern(said.get("min_value", exact), said.get("max_value", exact))
            return Check.matches(name, pattern, **options)
    return Check.matches(name, _pattern(given), **options)


def _pattern(given: Any) -> str:
    said = given.statistics or {}
    match given.name:
        case "str_matches":
            return pattern_of(_text(said["pattern"]), starts=True, ends=False)
        case "str_contains":
            return pattern_of(_text(said["pattern"]), starts=False, ends=False)
        case "str_startswith":
            return pattern_of(re.escape(said["string"]), starts=True, ends=False)
        case "str_endswith":
            return pattern_of(re.escape(said["string"]), starts=False, ends=True)
    raise InputError(str(given.error or given.name or "a function"))


def _text(pattern: Any) -> str:
    if hasattr(pattern, "flags") and pattern.flags & ~32:  # 32: of every pattern of text
        raise InputError("a pattern with flags")
    return str(getattr(pattern, "pattern", pattern))


def _column(dtype: DType, checks: list[Check], *, nullable: bool) -> Any:
    kinds = {each.kind for each in checks}
    own = [_native(each, dtype) for each in checks if each.kind not in ("not_null", "unique")]
    wanted = _DTYPES.get(dtype.kind)
    return pandera.pandas.Column(
        wanted, own, nullable=nullable and "not_null" not in kinds, unique="unique" in kinds,
        coerce=wanted is not None,
    )  # fmt: skip


def _native(check: Check, dtype: DType) -> Any:
    """Return one of our checks of one column as pandera's own."""
    theirs, options = pandera.pandas.Check, check.options
    value = moment_of if dtype.kind == "timestamp" else lambda given: given
    if check.kind == "in_set":
        return theirs.isin([value(each) for each in options["values"]])
    if check.kind == "matches":
        return theirs.str_matches(f"(?:{options['pattern']})\\Z")
    least, greatest = options["least"], options["greatest"]
    if least is None:
        return theirs.le(value(greatest))
    if greatest is None:
        return theirs.ge(value(least))
    return theirs.in_range(value(least), value(greatest))


def _ours(check: Check, types: Mapping[str, DType]) -> Any:
    """Return one of our checks, carried out over a frame."""
    columns = pa.schema([(name, types[name].arrow()) for name in check.columns])

    def carried_out(frame: pd.DataFrame) -> bool:
        if not check.columns:
            return holds(check, pa.table({"rows": [None] * len(frame)}))
        table = pa.Table.from_pandas(frame[list(check.columns)], columns, preserve_index=False)
        return holds(check, table)

    return pandera.pandas.Check(carried_out, name=check.kind, error=str(check))

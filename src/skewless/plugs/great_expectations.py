"""Great Expectations 1.x: its suites as checks, ours as its suites, the rows it refuses in
quarantine.

    payments = sl.Source(..., checks=checks_of(suite, {"amount": float}))  # carried out by us
    report = check(fs, "payments", suite)     # carried out by Great Expectations, noted by us
    push(fs, "payments", rows, suite)         # what fails goes to quarantine, the rest comes in
    suite_of(fs.sources["payments"])          # for a checkpoint of yours
    Checkpoint(..., actions=[NoteInLedger(name="skewless", repo=".", of="payments")])

A suite is an ExpectationSuite, or the path of one as JSON. Importing the tool takes seconds: let
a job do it, not a server.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
import pyarrow as pa
from great_expectations.checkpoint import ValidationAction

from skewless.checks.results import CheckResult
from skewless.definitions import FeatureView, Source
from skewless.definitions.checks import Check
from skewless.errors import CheckFailed, InputError
from skewless.ingest.push import PushResult
from skewless.plan.results import TrainingSet
from skewless.plugs.foreign_checks import (
    left_out,
    length_pattern,
    moment_of,
    next_to,
    noted_report,
    pattern_of,
    point_of,
    push_without,
    table_of,
    types_of,
)
from skewless.quality.check import HISTORY, QualityReport
from skewless.store import FeatureStore
from skewless.stores.offline.as_table import as_table
from skewless.training.checked import noted
from skewless.types import DType

EXAMPLES = 3
BY = "Great Expectations"
_HIGHEST = sys.float_info.max
_CRITICAL = "critical"


def checks_of(
    suite: Any, types: Mapping[str, Any] | Source | None = None, *, partly: bool = False
) -> list[Check]:
    """Return the expectations of a suite as checks of a source or a view.

    They are carried out at every point where ours are: at a push, over history, over the values of
    now, of training sets and those served. Severity ``critical`` blocks; the others warn. Of
    ``mostly`` the rest is the share that may fail: here of all rows, there of those not null.

    Args:
        suite: an ExpectationSuite, or the path of its JSON.
        types: column to type, as a source is declared with; a strict limit needs it.
        partly: whether what has no counterpart is left out.

    Raises:
        InputError: an expectation has no counterpart.
    """
    known, found, missing = types_of(types), [], []
    for each in _suite(suite).expectations:
        try:
            found.append(_check(each, known))
        except InputError as problem:
            column = each.configuration.kwargs.get("column", "")
            missing.append(f"{each.expectation_type} {column}: {problem.what}".replace(" :", ":"))
    if missing and not partly:
        raise left_out(missing, "Great Expectations")
    return found


def suite_of(of: Source | FeatureView, *, partly: bool = False) -> gx.ExpectationSuite:
    """Return the checks of a source or a view as a suite.

    Checks that block are critical, the others warnings.

    Raises:
        InputError: a check has no counterpart (a sum of columns, a condition, an age, a change)
            and ``partly`` does not leave it out.
    """
    types, made, missing = types_of(of), [], []
    for each in of.checks:
        expectation = _expectation(each, types)
        if expectation is None:
            missing.append(str(each))
        else:
            made.append(expectation)
    if missing and not partly:
        raise InputError(
            "checks that Great Expectations has not", got="; ".join(missing),
            hint="partly=True leaves them out.",
        )  # fmt: skip
    return gx.ExpectationSuite(name=of.name, expectations=made)


def check(fs: FeatureStore, of: str | TrainingSet, suite: Any) -> QualityReport:
    """Let Great Expectations look at what the store holds, and note what it finds in the ledger.

    Args:
        fs: the store.
        of: a source (its rows that count), a view (its values now), or a training set; all of it
            in memory, as a frame of pandas.
        suite: an ExpectationSuite, or the path of its JSON.

    Raises:
        UnknownName: no such source or view.
        CheckFailed: an expectation that is critical does not hold; it is noted all the same.
    """
    label, point, table = table_of(fs, of)
    outcome = _validated(table, _suite(suite))
    return noted_report(fs, point, BY, _results(outcome, label, table.num_rows))


def push(
    fs: FeatureStore, source: str, rows: Any, suite: Any, *, backdate: bool = False
) -> PushResult:
    """Push the rows that a suite lets through; the others go to quarantine, with reasons.

    Where an expectation that is critical fails, the rows that are unexpected are set aside. One
    that is met in most rows, or is not critical, sets none aside.

    Args:
        fs: the store.
        source: whose rows they are.
        rows: see `FeatureStore.push`.
        suite: an ExpectationSuite, or the path of its JSON.
        backdate: see `FeatureStore.push`.

    Raises:
        CheckFailed: a critical expectation fails that is of all rows together (a mean, a count),
            or cannot be carried out: nothing is pushed.
        RowsRefused: there were rows, and every one is quarantined.
    """
    table = as_table(rows)
    refused: list[tuple[list[int], str]] = []
    for each in _validated(table, _suite(suite)).results:
        if each.success or _severity(each) != _CRITICAL:
            continue
        places = each.result.get("unexpected_index_list")
        if not places:
            raise CheckFailed("the push is refused: an expectation of all rows fails",
                              got=f"{_said(each)}: {_found(each)}",
                              where=f"source {source!r}")  # fmt: skip
        refused.append((places, _said(each)))
    return push_without(fs, source, table, refused, backdate=backdate)


class NoteInLedger(ValidationAction):  # type: ignore[misc]
    """An action of a checkpoint: what its validations found goes into the ledger of a repo.

    Attributes:
        repo: its folder.
        of: the source, or the version of the view, that was looked at.
        point: where it was looked: ``history``, ``values``, ``training set``.
    """

    type: Literal["skewless"] = "skewless"
    repo: str
    of: str
    point: str = HISTORY

    def run(self, checkpoint_result: Any, action_context: Any = None) -> dict[str, Any]:  # noqa: ARG002
        """Note the results of each validation."""
        count = 0
        with FeatureStore(self.repo) as fs:
            for outcome in checkpoint_result.run_results.values():
                results = list(_results(outcome, self.of, None))
                count += len(noted(fs.runtime.ledger, point_of(self.point, BY), results))
        return {"noted": count}


def _suite(given: Any) -> gx.ExpectationSuite:
    if isinstance(given, gx.ExpectationSuite):
        return given
    if not isinstance(given, (str, Path)):
        raise InputError("no suite", got=repr(given), expected="an ExpectationSuite, or a path")
    data = json.loads(Path(given).read_text("utf-8"))
    return gx.ExpectationSuite(name=data["name"], expectations=data["expectations"])


def _validated(table: pa.Table, suite: gx.ExpectationSuite) -> Any:
    """Carry a suite out over a table; places of rows are the index of the frame."""
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    frame = table.to_pandas().reset_index(drop=True)
    asset = context.data_sources.add_pandas("skewless").add_dataframe_asset("table")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    return batch.validate(suite, result_format={"result_format": "COMPLETE"})


def _results(outcome: Any, label: str, rows: int | None) -> Iterator[CheckResult]:
    for each in outcome.results:
        result = each.result
        seen = result.get("element_count", rows or 0)
        failing = result.get("unexpected_count", 0 if each.success else 1)
        examples = () if each.success else result.get("partial_unexpected_list", ())[:EXAMPLES]
        of_rows = "unexpected_count" in result
        yield CheckResult(
            label, _said(each), each.expectation_config.type, bool(each.success), int(seen),
            int(failing), "" if each.success or of_rows else _found(each),
            tuple(map(str, examples)), "block" if _severity(each) == _CRITICAL else "warn",
        )  # fmt: skip


def _said(each: Any) -> str:
    config = each.expectation_config
    given = {k: v for k, v in config.kwargs.items() if k != "batch_id"}
    return f"{config.type}({', '.join(f'{name}={value!r}' for name, value in given.items())})"


def _found(each: Any) -> str:
    if "observed_value" in each.result:
        return f"{each.result['observed_value']}"
    raised = [
        info["exception_message"]
        for info in (each.exception_info or {}).values()
        if isinstance(info, dict) and info.get("exception_message")
    ]
    return raised[0].partition("\n")[0] if raised else "it fails"


def _severity(each: Any) -> str:
    severity = each.expectation_config.severity
    return str(getattr(severity, "value", severity))


def _check(each: Any, types: Mapping[str, DType]) -> Check:
    """Return an expectation as a check.

    Raises:
        InputError: it has no counterpart.
    """
    given = each.configuration.kwargs
    if given.get("row_condition"):
        raise InputError("a condition of rows")
    severity = str(getattr(each.severity, "value", each.severity))
    action: dict[str, Any] = {"action": "block" if severity == _CRITICAL else "warn"}
    column, kind = given.get("column", ""), each.expectation_type
    match kind:
        case "expect_table_row_count_to_be_between":
            least, greatest = given.get("min_value"), given.get("max_value")
            if given.get("strict_min") or given.get("strict_max"):
                raise InputError("a limit that is left out")
            return Check.row_count(least, greatest, **action)
        case "expect_table_row_count_to_equal":
            return Check.row_count(given["value"], given["value"], **action)
        case "expect_column_mean_to_be_between":
            if given.get("strict_min") or given.get("strict_max"):
                raise InputError("a limit that is left out")
            least, greatest = given.get("min_value"), given.get("max_value")
            least = -_HIGHEST if least is None else least
            return Check.mean_between(
                column, least, _HIGHEST if greatest is None else greatest, **action
            )
    share = action | {"share": round(1 - given.get("mostly", 1.0), 12)}
    match kind:
        case "expect_column_values_to_not_be_null":
            return Check.not_null(column, **share)
        case "expect_column_values_to_be_between":
            least, greatest = given.get("min_value"), given.get("max_value")
            if given.get("strict_min") and least is not None:
                least = next_to(least, types.get(column), above=True)
            if given.get("strict_max") and greatest is not None:
                greatest = next_to(greatest, types.get(column), above=False)
            return Check.between(column, least, greatest, **share)
        case "expect_column_values_to_be_in_set":
            return Check.in_set(column, given["value_set"], **share)
        case "expect_column_values_to_match_regex":
            return Check.matches(
                column, pattern_of(given["regex"], starts=False, ends=False), **share
            )
        case "expect_column_value_lengths_to_be_between":
            pattern = length_pattern(given.get("min_value"), given.get("max_value"))
            return Check.matches(column, pattern, **share)
    return _unique(kind, given, action)


def _unique(kind: str, given: Mapping[str, Any], action: dict[str, Any]) -> Check:
    """Return what is expected of rows beside each other.

    ``mostly`` counts them otherwise: of two equal rows both are unexpected, here the second.
    """
    if given.get("mostly", 1.0) < 1:
        raise InputError("a share of rows that are alike")
    if kind == "expect_column_values_to_be_unique":
        return Check.unique(given["column"], **action)
    nulls = given.get("ignore_row_if", "all_values_are_missing")
    if kind == "expect_compound_columns_to_be_unique" and nulls == "any_value_is_missing":
        return Check.unique(*given["column_list"], **action)
    raise InputError("no counterpart")


def _expectation(each: Check, types: Mapping[str, DType]) -> Any:
    """Return a check as an expectation; None: it has none."""
    options, column = each.options, each.columns[0] if each.columns else ""
    given: dict[str, Any] = {"severity": "critical" if each.action == "block" else "warning"}
    if each.kind == "row_count":
        return gxe.ExpectTableRowCountToBeBetween(
            min_value=options["least"], max_value=options["greatest"], **given
        )
    given["column"] = column
    timed = each.kind in ("between", "in_set") and types[column].kind == "timestamp"
    if each.kind == "mean_between":
        return gxe.ExpectColumnMeanToBeBetween(
            min_value=options["least"], max_value=options["greatest"], **given
        )
    if each.kind == "unique" and not each.share:
        if len(each.columns) == 1:
            return gxe.ExpectColumnValuesToBeUnique(**given)
        del given["column"]
        return gxe.ExpectCompoundColumnsToBeUnique(
            column_list=list(each.columns), ignore_row_if="any_value_is_missing", **given
        )
    given["mostly"] = round(1 - each.share, 12)
    match each.kind:
        case "not_null":
            return gxe.ExpectColumnValuesToNotBeNull(**given)
        case "between":
            limits = [options["least"], options["greatest"]]
            if timed:
                limits = [None if t is None else pd.Timestamp(moment_of(t)) for t in limits]
            return gxe.ExpectColumnValuesToBeBetween(
                min_value=limits[0], max_value=limits[1], **given
            )
        case "in_set":
            values = [pd.Timestamp(moment_of(v)) if timed else v for v in options["values"]]
            return gxe.ExpectColumnValuesToBeInSet(value_set=values, **given)
        case "matches":
            return gxe.ExpectColumnValuesToMatchRegex(
                regex=f"\\A(?:{options['pattern']})\\Z", **given
            )
    return None

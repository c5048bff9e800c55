"""The leakage receipt: what in a training set comes from after the moment of prediction.

    receipt = receipt(runtime, training, timestamp="at", label="is_fraud", times=None, known=None)
    receipt.leaks                      # False: nothing was found
    print(receipt)

Everything is measured on the rows at hand: times against times, values against history, columns
against the label. A training set of skewless is held against history; a plain frame against the
time columns it brings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skewless.errors import MissingColumn
from skewless.explain.store_view import StoreView
from skewless.formatting import aligned
from skewless.leakage.findings import (
    Finding,
    against_history,
    against_label,
    against_times,
    micros_of,
    time_columns,
)
from skewless.plan.results import TrainingSet


@dataclass(frozen=True)
class LeakageReceipt:
    """What was checked in a training set, and what was found.

    Attributes:
        rows: of the training set.
        timestamp: the column that says when the prediction is made.
        label: the column that is predicted; None: not told.
        as_of: how skewless made it; ``plain`` for any other frame.
        columns: that were checked.
        findings: what leaks.
        notes: what was measured besides.
    """

    rows: int
    timestamp: str
    label: str | None
    as_of: str
    columns: tuple[str, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def leaks(self) -> bool:
        """Whether anything was found."""
        return bool(self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return the receipt as plain data."""
        return {
            "rows": self.rows,
            "timestamp": self.timestamp,
            "label": self.label,
            "as_of": self.as_of,
            "columns": list(self.columns),
            "leaks": self.leaks,
            "findings": [finding.to_dict() for finding in self.findings],
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        made = "a plain frame" if self.as_of == "plain" else f"made as of {self.as_of}"
        label = f", label {self.label!r}" if self.label else ""
        head = f"Leakage receipt: {self.rows:,} rows at {self.timestamp!r}{label}, {made}"
        leaking = {finding.column for finding in self.findings}
        lines = [head, f"{len(leaking)} of {len(self.columns)} columns leak"]
        if not self.findings:
            lines[1] = f"No leak found in {len(self.columns)} columns."
        else:
            body = [
                (f.column, f.what, f"{f.values:,} of {f.of:,}", f.detail) for f in self.findings
            ]
            lines += ["", aligned([("column", "what", "values", ""), *body], indent=2)]
        if self.notes:
            lines += ["", *self.notes]
        return "\n".join(lines)


def receipt(
    runtime: StoreView,
    training: Any,
    *,
    timestamp: str,
    label: str | None,
    times: Mapping[str, str] | None,
    known: Mapping[str, str] | None,
) -> LeakageReceipt:
    """Return what in a training set comes from after the moment of prediction.

    Args:
        runtime: the open repo.
        training: a `TrainingSet`, or any frame of rows.
        timestamp: the column that says when the prediction is made.
        label: the column that is predicted; without it, likeness to the label is not measured.
        times: of a plain frame: column to the column with the event time of its values. Without
            ``times`` and ``known`` every column of timestamps is checked as it is.
        known: likewise, column to the column with the time its values were known.

    Raises:
        MissingColumn: a column that is named is not there.
        NaiveTime, InputError: a time column without a zone, or that holds no times.
    """
    from skewless.stores.offline.as_table import as_table

    made = isinstance(training, TrainingSet)
    table = training.to_arrow() if made else as_table(training, where="the training set")
    named = [timestamp, label]
    for given in (times or {}, known or {}):
        named += [*given.keys(), *given.values()]
    for name in named:
        if name is not None and name not in table.column_names:
            raise MissingColumn.of(name, table.column_names, where="the training set")
    moments = micros_of(table, timestamp)
    pairs = time_columns(table, timestamp, times, known, made=made)
    findings = list(against_times(table, moments, pairs, label))
    notes: list[str] = []
    aside = {timestamp, label, *(time for _, time, _ in pairs)}
    columns = [name for name in table.column_names if name not in aside]
    if isinstance(training, TrainingSet):
        columns = list(training.features)
        against_history(runtime, training, (moments, label), findings, notes)
    if label is not None:
        findings += against_label(table, columns, label)
    if isinstance(training, TrainingSet):
        runtime.ledger.record("leakage", {"id": training.id, "leaks": bool(findings)})
    checked = tuple(dict.fromkeys([*columns, *(column for column, _, _ in pairs)]))
    return LeakageReceipt(
        table.num_rows,
        timestamp,
        label,
        training.plan.as_of if isinstance(training, TrainingSet) else "plain",
        checked,
        tuple(findings),
        tuple(notes),
    )

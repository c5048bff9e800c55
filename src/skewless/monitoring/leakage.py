"""The leakage receipt: what in a training set comes from after the moment of prediction.

    receipt = receipt(runtime, training, timestamp="at", label="is_fraud", times=None, known=None)
    receipt.leaks                      # False: nothing was found
    print(receipt)

Everything is measured on the rows at hand: times against times, values against history, columns
against the label. A training set of skewless is held against history; a plain frame against the
time columns it brings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skewless.errors import MissingColumn
from skewless.monitoring.opened import Opened
from skewless.monitoring.separation import likeness
from skewless.monitoring.text import aligned
from skewless.plan.results import TrainingSet

if TYPE_CHECKING:
    import pyarrow as pa

    from skewless.monitoring.label_rows import Ints

AFTER = "later than the label time"
UNKNOWN = "known only after the label time"
ITSELF = "the label event itself"
LIKE = "probably the label"
NOT_PAST = "not the value of the rows before"


@dataclass(frozen=True)
class Finding:
    """Something in a column that comes from after the moment of prediction.

    Attributes:
        column: of the training set.
        what: one of the kinds above.
        values: how many values.
        of: how many there are.
        detail: what was measured.
    """

    column: str
    what: str
    values: int
    of: int
    detail: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as plain data."""
        return dict(self.__dict__)


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
    runtime: Opened,
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
    from skewless.stores.offline.frame import to_arrow

    made = isinstance(training, TrainingSet)
    table = training.to_arrow() if made else to_arrow(training, where="the training set")
    named = [timestamp, label, *(n for m in (times, known) if m for pair in m.items() for n in pair)]
    for name in named:
        if name is not None and name not in table.column_names:
            raise MissingColumn.of(name, table.column_names, where="the training set")
    moments = _micros(table, timestamp)
    pairs = _time_columns(table, timestamp, times, known, made=made)
    findings = list(_against_times(table, moments, pairs))
    notes: list[str] = []
    aside = {timestamp, label, *(time for _, time, _ in pairs)}
    columns = [name for name in table.column_names if name not in aside]
    if isinstance(training, TrainingSet):
        columns = list(training.features)
        _against_history(runtime, training, (moments, label), findings, notes)
    if label is not None:
        findings += _against_label(table, columns, label)
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


def _micros(table: pa.Table, name: str) -> Ints:
    """Return a time column as UTC microseconds, `clock.ALWAYS` where it is null."""
    from skewless.stores.offline.cast import cast_column, to_micros_array
    from skewless.types import Timestamp

    where = f"column {name!r} of the training set"
    return to_micros_array(cast_column(table[name], Timestamp, where=where))


def _time_columns(
    table: pa.Table,
    timestamp: str,
    times: Mapping[str, str] | None,
    known: Mapping[str, str] | None,
    *,
    made: bool,
) -> list[tuple[str, str, str]]:
    """Return columns to check: what is judged, its time column, what it is when that is later."""
    import pyarrow as pa

    if times is not None or known is not None:
        pairs = [(column, time, AFTER) for column, time in (times or {}).items()]
        return pairs + [(column, time, UNKNOWN) for column, time in (known or {}).items()]
    if made:
        return []
    return [
        (field.name, field.name, AFTER)
        for field in table.schema
        if pa.types.is_timestamp(field.type) and field.name != timestamp
    ]


def _against_times(
    table: pa.Table, moments: Ints, pairs: list[tuple[str, str, str]]
) -> Iterator[Finding]:
    for column, time, what in pairs:
        found = _micros(table, time)
        later = int((found > moments).sum())
        by = "" if column == time else f"by {time!r}"
        if later:
            yield Finding(column, what, later, table.num_rows, by)
        same = int((found == moments).sum())
        if what == AFTER and column != time and same:
            yield Finding(column, ITSELF, same, table.num_rows, f"{time!r} is the label time")


def _against_history(
    runtime: Opened,
    training: TrainingSet,
    asked_for: tuple[Ints, str | None],
    findings: list[Finding],
    notes: list[str],
) -> None:
    """Add what the history says of a training set that skewless made."""
    from skewless.monitoring.label_rows import Asked, from_the_past, own_rows

    moments, label = asked_for
    table, plan = training.to_arrow(), training.plan
    counts = training.differences()
    if plan.as_of == "event_time":
        findings += [
            Finding(name, UNKNOWN, count, len(training), "differs from what was known")
            for name, count in counts.items()
            if count
        ]
    else:
        notes.append(
            f"{sum(counts.values()):,} values would have been known only after the label time;"
            " counting what was known kept them out."
        )
    views = plan.selection.views
    names = {output.reference: output.name for output in plan.selection.outputs}
    asked = Asked(table, _micros(table, plan.timestamp), label, plan.as_of == "known")
    checked, different = from_the_past(runtime.history, views, asked, names)
    findings += [
        Finding(name, NOT_PAST, count, checked, "recomputed") for name, count in different.items()
    ]
    notes.append(
        f"{checked:,} values of a sample recomputed from rows up to the label time alone:"
        f" {checked - sum(different.values()):,} are the same to the bit."
    )
    for own in own_rows(runtime.history, views, Asked(table, moments, label, asked.as_known)):
        columns = ", ".join(names.get(f"{own.view}:{name}", name) for name in own.features)
        if own.is_label:
            detail = f"reads {own.column!r}: {own.measure}"
            findings.append(Finding(columns, ITSELF, own.rows, len(training), detail))
        else:
            reads = f"reads {own.column!r} of" if own.column else "counts"
            notes.append(
                f"{columns} {reads} the row at the very moment of the label in {own.rows:,} rows"
                " (closed='left' leaves it out)."
            )


def _against_label(table: pa.Table, columns: list[str], label: str) -> Iterator[Finding]:
    """Yield the columns that tell the label all but completely."""
    import pyarrow as pa

    from skewless.stores.offline.cast import nan_to_null

    wanted = _plain(table[label])
    for name in columns:
        column = table[name]
        if pa.types.is_floating(column.type):
            column = nan_to_null(column)
        found = likeness(_plain(column), wanted)
        if found is not None and found.suspicious:
            detail = f"{found.measure} {found.score:.4f}"
            yield Finding(name, LIKE, found.rows, table.num_rows, detail)


def _plain(column: pa.ChunkedArray) -> pa.Array:
    import pyarrow as pa

    one = column.combine_chunks()
    return one.dictionary_decode() if pa.types.is_dictionary(one.type) else one

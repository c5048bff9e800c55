"""What a leakage receipt measures: times against times, values against history and the label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skewless.explain.store_view import StoreView
from skewless.leakage.label_similarity import likeness
from skewless.plan.results import TrainingSet

if TYPE_CHECKING:
    import pyarrow as pa

    from skewless.leakage.label_rows import Ints

TimeColumn = tuple[str, str, str]
"""A column, the column with the times of its values, and what it is when these are too late."""
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


def micros_of(table: pa.Table, name: str) -> Ints:
    """Return a time column as UTC microseconds, `clock.ALWAYS` where it is null."""
    from skewless.stores.offline.cast import cast_column, to_micros_array
    from skewless.types import Timestamp

    where = f"column {name!r} of the training set"
    return to_micros_array(cast_column(table[name], Timestamp, where=where))


def time_columns(
    table: pa.Table,
    timestamp: str,
    times: Mapping[str, str] | None,
    known: Mapping[str, str] | None,
    *,
    made: bool,
) -> list[TimeColumn]:
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


def against_times(
    table: pa.Table, moments: Ints, pairs: list[TimeColumn], label: str | None
) -> Iterator[Finding]:
    """Yield the columns whose values are of later than their row, or of the label's own event."""
    import pyarrow as pa

    for column, time, what in pairs:
        found = micros_of(table, time)
        later = int((found > moments).sum())
        by = "" if column == time else f"by {time!r}"
        if later:
            yield Finding(column, what, later, table.num_rows, by)
        same = pa.array(found == moments)
        if label is not None and column not in (time, label):
            told = likeness(_values(table, column).filter(same), _values(table, label).filter(same))
            if told is not None and told.suspicious:
                detail = f"{by}; {told.measure} with the label {told.score:.3f}"
                yield Finding(column, ITSELF, told.rows, table.num_rows, detail)


def against_history(
    runtime: StoreView,
    training: TrainingSet,
    asked_for: tuple[Ints, str | None],
    findings: list[Finding],
    notes: list[str],
) -> None:
    """Add what the history says of a training set that skewless made."""
    from skewless.leakage.label_rows import TrainingRows, from_the_past, own_rows

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
    asked = TrainingRows(table, micros_of(table, plan.timestamp), label, plan.as_of == "known")
    checked, different = from_the_past(runtime.history, views, asked, names)
    findings += [
        Finding(name, NOT_PAST, count, checked, "recomputed") for name, count in different.items()
    ]
    notes.append(
        f"{checked:,} values of a sample recomputed from rows up to the label time alone:"
        f" {checked - sum(different.values()):,} are the same to the bit."
    )
    plain: dict[tuple[str, int], list[str]] = {}
    for own in own_rows(
        runtime.history, views, TrainingRows(table, moments, label, asked.as_known)
    ):
        name = names.get(own.reference, own.reference)
        if own.is_label:
            detail = f"reads {own.column!r}: {own.measure}"
            findings.append(Finding(name, ITSELF, own.rows, len(training), detail))
        else:
            plain.setdefault((own.column, own.rows), []).append(name)
    for (column, rows), features in plain.items():
        reads = f"take {column!r} of" if column else "count"
        notes.append(
            f"{', '.join(features)} {reads} the row at the very moment of the label in {rows:,}"
            " rows; closed='left' on the source leaves it out."
        )


def against_label(table: pa.Table, columns: list[str], label: str) -> Iterator[Finding]:
    """Yield the columns that tell the label all but completely."""
    wanted = _values(table, label)
    for name in columns:
        found = likeness(_values(table, name), wanted)
        if found is not None and found.suspicious:
            detail = f"{found.measure} {found.score:.4f}"
            yield Finding(name, LIKE, found.rows, table.num_rows, detail)


def _values(table: pa.Table, name: str) -> pa.Array:
    """Return a column as one plain array, null for NaN."""
    import pyarrow as pa

    from skewless.stores.offline.cast import nan_to_null

    column = table[name]
    if pa.types.is_floating(column.type):
        column = nan_to_null(column)
    one = column.combine_chunks()
    return one.dictionary_decode() if pa.types.is_dictionary(one.type) else one

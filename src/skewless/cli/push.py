"""``skewless push``, ``delete`` and ``quarantine``: rows on their way into the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from skewless.cli.inputs import FORMATS, format_of, row_batches
from skewless.cli.options import command
from skewless.cli.output import counting, emit, note, say, short, table
from skewless.codec import from_text
from skewless.errors import InputError, RowsRefused, SkewlessError
from skewless.formatting import count_of

if TYPE_CHECKING:
    from skewless.definitions import Source
    from skewless.ingest.push import PushResult

_SHOWN = 10


@dataclass
class Tally:
    """What became of the rows of all batches."""

    handed_in: int = 0
    accepted: int = 0
    corrections: int = 0
    duplicates: int = 0
    late: int = 0
    quarantined: list[dict[str, Any]] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    def add(self, result: PushResult, rows: int) -> None:
        """Count one batch."""
        self.accepted += result.accepted
        self.corrections += result.corrections
        self.duplicates += result.duplicates
        self.late += result.late
        for found in result.quarantined:
            entry = {"row": self.handed_in + found.row, "reason": found.reason}
            self.quarantined.append(entry | {"values": found.values})
        self.ignored = list(dict.fromkeys((*self.ignored, *result.ignored)))
        self.handed_in += rows


@command(
    "push",
    example="skewless push wafer_tests rows.jsonl\n"
    "skewless push wafer_tests history.parquet --backdate\n"
    'echo \'{"fab_id": "f1", "vdd": 0.75, "tested_at": "2026-01-31T10:00:00Z"}\' | '
    "skewless push wafer_tests -",
    no="No row came in; with --strict: some rows were quarantined.",
)
@click.argument("source")
@click.argument("file", type=click.Path(exists=True, allow_dash=True, dir_okay=False))
@click.option("--backdate", is_flag=True, help="Old rows: known since event time + delay, not now.")
@click.option("--format", type=click.Choice(FORMATS), help="Of the file.  [default: by its name]")
@click.option("--skip", type=click.IntRange(0), default=0, help="Leave the first rows out.")
@click.option("--strict", is_flag=True, help="Exit with 1 if rows were quarantined.")
@click.pass_context
def push_command(ctx: click.Context, /, *, repo: str, as_json: bool, **given: Any) -> None:
    """Hand rows of a file to a source: JSON (array or lines), CSV or Parquet; - is stdin.

    Rows are durable and readable online when the command ends. A bad row is quarantined with its
    reason, and the others go in. Of a source with a row id the same rows may be pushed again.
    """
    from skewless.store import FeatureStore

    file, skip = given["file"], given["skip"]
    format = format_of(file, given["format"])
    tally = Tally()
    with FeatureStore(repo) as fs:
        source = fs.runtime.source(given["source"])
        try:
            with counting("rows") as done:
                for batch in row_batches(file, format, source.columns):
                    rows = batch[skip:]
                    skip -= len(batch) - len(rows)
                    if len(rows):
                        try:
                            result = fs.push(source.name, rows, backdate=given["backdate"])
                        except RowsRefused as problem:
                            result = problem.result
                        tally.add(result, len(rows))
                        done(len(rows))
        except (SkewlessError, KeyboardInterrupt):
            if tally.handed_in:
                rows_in = tally.handed_in + given["skip"]
                note(f"The first {count_of(rows_in, 'row')} went in; go on with --skip {rows_in}.")
            raise
    if as_json:
        emit({"source": source.name, **vars(tally)})
    else:
        _say(source.name, tally)
    if tally.quarantined and (given["strict"] or not (tally.accepted or tally.duplicates)):
        ctx.exit(1)


def _say(source: str, tally: Tally) -> None:
    parts = [
        f"{count_of(tally.accepted, 'row')} accepted",
        count_of(tally.corrections, "correction"),
        count_of(tally.duplicates, "duplicate"),
        f"{len(tally.quarantined):,} quarantined",
    ]
    if tally.late:
        parts.insert(3, f"{tally.late:,} too late to count")
    say(f"{source}: {', '.join(parts)}.")
    if tally.ignored:
        say(f"  left out, since the source does not have them: {', '.join(tally.ignored)}")
    bad = tally.quarantined
    for entry in bad[:_SHOWN]:
        say(f"  row {entry['row']}: {entry['reason']}")
    if len(bad) > _SHOWN:
        say(f"  and {len(bad) - _SHOWN:,} more: skewless quarantine {source}")


@command("delete", example="skewless delete wafer_tests W17 W18")
@click.argument("source")
@click.argument("row_ids", nargs=-1, required=True, metavar="ROW_ID...")
def delete_command(repo: str, as_json: bool, source: str, row_ids: tuple[str, ...]) -> None:
    """Delete rows of a source by row id: from now on they do not count.

    Of a source whose row id has several columns, a ROW_ID is their values between commas.
    """
    from skewless.store import FeatureStore

    with FeatureStore(repo) as fs:
        found = fs.runtime.source(source)
        result = fs.delete(source, [_row_id(text, found) for text in row_ids])
    if as_json:
        emit({"source": source, "deleted": result.accepted})
    else:
        say(f"{source}: {count_of(result.accepted, 'row')} deleted.")


def _row_id(text: str, source: Source) -> Any:
    names = source.row_id
    texts = text.split(",") if len(names) > 1 else [text]
    where = f"the row id of source {source.name!r}"
    if len(texts) != max(len(names), 1):
        raise InputError(f"not {where}", got=text, expected=",".join(names).upper())
    try:
        values = tuple(
            from_text(part, source.columns[name]) for name, part in zip(names, texts, strict=False)
        )
    except ValueError as problem:
        raise InputError(f"not {where}", got=str(problem)) from None
    return values if len(names) > 1 else (values or (text,))[0]


@command(
    "quarantine",
    example="skewless quarantine wafer_tests --limit 20\n"
    "skewless quarantine wafer_tests --purge --before 2026-01-01T00:00:00Z",
)
@click.argument("source")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="How many.")
@click.option("--after", default="", metavar="ID", help="Go on behind this row (see --json).")
@click.option("--purge", is_flag=True, help="Let the rows go for good.")
@click.option("--before", metavar="TIME", help="--purge: only rows set aside before it.")
def quarantine_command(*, repo: str, as_json: bool, source: str, **given: Any) -> None:
    """List rows that were set aside, of a source, newest first, with reasons; or purge them."""
    from skewless.clock import iso
    from skewless.ingest.quarantine import size_of
    from skewless.store import FeatureStore

    if given["before"] is not None and not given["purge"]:
        raise InputError("--before goes with --purge", got=f"--before {given['before']}")
    with FeatureStore(repo) as fs:
        if given["purge"]:
            gone = fs.purge_quarantine(source, before=given["before"])
            emit({"purged": gone}) if as_json else say(f"{source}: {count_of(gone, 'row')} purged.")
            return
        found = fs.quarantine(source, given["limit"], after=given["after"])
        size = size_of(fs.runtime, source)
    if as_json:
        emit([{"at": iso(q.at), "reason": q.reason, "values": q.values, "id": q.id} for q in found])
        return
    if found:
        say(table(["at", "reason", "row"], [[iso(q.at), q.reason, short(q.values)] for q in found]))
    else:
        say(f"{source}: no rows are quarantined.")
    if size.dropped:
        say(f"{count_of(size.dropped, 'older row')} dropped.")

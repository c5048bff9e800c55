"""``skewless historical`` and ``skewless read``: point-in-time correct values from history."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skewless.cli.inputs import entities_of, format_of, table_of, types_asked
from skewless.cli.options import asked_for, command, pairs, typed
from skewless.cli.output import emit, note, progress, say, table
from skewless.definitions.references import split_view
from skewless.errors import InputError
from skewless.formatting import count_of

if TYPE_CHECKING:
    import pyarrow as pa

    from skewless.store import FeatureStore

_SHOWN = 10
_OUT_HELP = "File to write: .parquet or .csv.  [default: show the first rows]"
out_option = click.option("--out", type=click.Path(dir_okay=False), help=_OUT_HELP)


@command(
    "historical",
    example="skewless historical wafers.parquet yield_model --timestamp at --out train.parquet\n"
    "skewless historical wafers.csv FabRolling:vdd_mean,FabRolling:idd_now --timestamp at",
)
@click.argument("spine", type=click.Path(exists=True, dir_okay=False))
@click.argument("features")
@click.option("--timestamp", required=True, metavar="COLUMN", help="The spine's time column.")
@out_option
@click.option(
    "--as-of",
    type=click.Choice(["known", "event_time"]),
    default="known",
    show_default=True,
    help="Count what was known at the time, or ignore known time (research).",
)
@click.option("--full-names", is_flag=True, help="Call features View__feature.")
@click.option("--explain", is_flag=True, help="Also say how it was made; costs as much again.")
def historical_command(repo: str, as_json: bool, spine: str, **given: Any) -> None:
    """Build a training set: the rows of SPINE, in order, with point-in-time correct features.

    SPINE is a file (Parquet, CSV or JSON) of join keys, a timestamp and whatever else. FEATURES
    is a feature service, a view, or references View:feature between commas.
    """
    from skewless.store import FeatureStore

    check_out(given["out"])
    with FeatureStore(repo) as fs:
        wanted = asked_for(given["features"])
        dtypes = types_asked(fs, wanted, given["full_names"])
        with progress() as report:
            training = fs.get_historical_features(
                spine if format_of(spine, None) == "parquet" else table_of(spine, dtypes),
                wanted,
                timestamp=given["timestamp"],
                as_of=given["as_of"],
                full_names=given["full_names"],
                progress=report,
            )
        explained = training.explain() if given["explain"] else None
    rows = training.to_arrow()
    summary = {"id": training.id, "rows": rows.num_rows, "features": list(training.features)}
    summary |= {"as_of": given["as_of"], "notes": list(training.notes), "out": given["out"]}
    if explained is not None:
        summary["explanation"] = explained
    show(rows, given["out"], as_json, summary)
    if not as_json:
        note(f"Training set {training.id}")
        for text in [*training.notes, *([explained] if explained else [])]:
            note(text)


@command(
    "rebuild",
    example="skewless rebuild ts_5d41402abc4b2a76b9719d911017c592 --out again.parquet\n"
    "skewless rebuild ts_5d41402abc4b2a76b9719d911017c592 --spine train.parquet --json",
    no="It is not the same; what changed is said.",
)
@click.argument("training_set", metavar="ID")
@click.option(
    "--spine",
    type=click.Path(exists=True, dir_okay=False),
    help="Its spine, or the training set itself, as a file.  [default: the file it was made from]",
)
@out_option
@click.pass_context
def rebuild_command(
    ctx: click.Context, /, *, repo: str, as_json: bool, training_set: str, **given: Any
) -> None:
    """Make a training set again, and say whether it is the same.

    ID is what `skewless ledger sets` lists. Features have the versions they had.
    """
    from skewless.store import FeatureStore
    from skewless.training.records import training_set_of

    check_out(given["out"])
    with FeatureStore(repo) as fs:
        spine = given["spine"]
        if spine is not None and format_of(spine, None) != "parquet":
            record = training_set_of(fs.runtime.ledger, training_set)
            features = list(record.features.values())
            spine = table_of(spine, types_asked(fs, features, record.full_names))
        with progress() as report:
            again = fs.rebuild(training_set, spine, progress=report)
    if given["out"] is not None:
        write(again.training.to_arrow(), Path(given["out"]))
    emit(again) if as_json else say(str(again))
    if not again.same:
        ctx.exit(1)


@command(
    "read",
    example="skewless read FabRolling fab_id=f1 --start 2026-01-01T00:00:00Z\n"
    "skewless read FabRolling@v1 --out changes.parquet",
)
@click.argument("view")
@click.argument("entity", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--entities",
    "file",
    type=click.Path(exists=True, allow_dash=True, dir_okay=False),
    help="JSON (array or lines) of join keys; - is stdin.",
)
@click.option("--start", metavar="TIME", help="Changes from here on.  [default: the first]")
@click.option("--end", metavar="TIME", help="Changes before here.  [default: now]")
@out_option
def read_command(repo: str, as_json: bool, view: str, **given: Any) -> None:
    """List every change of a view's values over a range of time, of some entities or of all."""
    from skewless.store import FeatureStore

    check_out(given["out"])
    with FeatureStore(repo) as fs:
        entities: list[Any] = [pairs(given["entity"])] if given["entity"] else []
        if given["file"]:
            entities += entities_of(given["file"])
        if entities:
            keys = types_asked(fs, [f"{view}:{feature_of(fs, view)}"])
            entities = [typed(entity, keys, f"view {view!r}") for entity in entities]
        found = fs.read_features(
            view, entities=entities or None, start=given["start"], end=given["end"]
        )
    show(found, given["out"], as_json, {"rows": found.num_rows, "view": view, "out": given["out"]})


def feature_of(fs: FeatureStore, view: str) -> str:
    """Return the name of a feature of a view (``View`` or ``View@v2``)."""
    return fs.runtime.state().view(*split_view(view)).features[0]


def check_out(out: str | None) -> None:
    """Raise `InputError` unless the file to write is Parquet or CSV, in a folder that exists."""
    if out is None:
        return
    if Path(out).suffix not in (".parquet", ".csv"):
        raise InputError("a file of an unknown format", got=out, expected=".parquet or .csv")
    if not Path(out).absolute().parent.is_dir():
        raise InputError("there is no such folder", got=str(Path(out).parent), where="--out")


def show(rows: pa.Table, out: str | None, as_json: bool, summary: dict[str, Any]) -> None:
    """Write a table to a file, or print it: all of it as JSON, its first rows for people."""
    if out is not None:
        write(rows, Path(out))
    if as_json:
        emit(summary if out is not None else summary | {"values": _rows(rows)})
    elif out is not None:
        say(f"{out}: {count_of(rows.num_rows, 'row')} x {len(rows.column_names)} columns")
    else:
        shown = rows.slice(0, _SHOWN)
        say(table(rows.column_names, [list(row.values()) for row in _rows(shown)]))
        if rows.num_rows > _SHOWN:
            note(f"The first {_SHOWN} of {rows.num_rows:,} rows; write all with --out FILE.")


def write(rows: pa.Table, out: Path) -> None:
    """Write a table as Parquet or CSV; the file appears whole or not at all."""
    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    partial = out.with_name(f".{out.name}.partial")
    try:
        if out.suffix == ".parquet":
            pq.write_table(rows, partial)
        else:
            pc.write_csv(rows, partial)
        partial.replace(out)
    except pa.ArrowException as problem:
        raise InputError(
            "not a table that CSV can hold", got=str(problem), hint="Write .parquet instead."
        ) from None
    finally:
        partial.unlink(missing_ok=True)


def _rows(rows: pa.Table) -> list[dict[str, Any]]:
    """Return rows as dicts; maps, too, are dicts."""
    from skewless.plan.results import as_columns

    columns = as_columns(rows)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

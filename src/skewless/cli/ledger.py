"""``skewless ledger``: what happened: runs, training sets, records; and whether it was altered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skewless.cli.options import command
from skewless.cli.output import emit, note, paint, say, short, table
from skewless.clock import iso
from skewless.errors import InputError

if TYPE_CHECKING:
    from skewless.ledger.lines import Record
    from skewless.ledger.runs import Run
    from skewless.store import FeatureStore

ACTIONS = ("runs", "sets", "list", "show", "verify", "checkpoint", "key")
_COLOURS = {"failed": "red", "killed": "red", "interrupted": "yellow", "running": "green"}


@command(
    "ledger",
    example="skewless ledger\nskewless ledger runs --job materialize --limit 5\n"
    "skewless ledger list --kind training_set --since 2026-01-01T00:00:00Z\n"
    "skewless ledger show db1:17\nskewless ledger verify --since-checkpoint\n"
    "skewless ledger key /etc/skewless/ledger.pem\nskewless ledger checkpoint",
    no="verify: something was altered or removed.",
)
@click.argument("action", type=click.Choice(ACTIONS), default="runs")
@click.argument("name", metavar="[RECORD | FILE]", required=False)
@click.option("--job", help="runs: of this job alone.")
@click.option("--kind", "kinds", multiple=True, help="list: of this kind alone; repeatable.")
@click.option("--since", metavar="TIME", help="runs, list: from here on.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many.")
@click.option("--since-checkpoint", is_flag=True, help="verify: against signed checkpoints too.")
@click.option("--public-key", metavar="HEX", help="verify: who signed.  [default: the settings]")
@click.pass_context
def ledger_command(
    ctx: click.Context, /, *, repo: str, as_json: bool, action: str, name: str | None, **given: Any
) -> None:
    """Show what happened, and prove that the record of it is whole.

    runs: the jobs that ran, newest first: who began them, what they were asked, how they ended.

    sets: the training sets that were made, newest first: of which service, how many rows, whether
    a check of leakage found anything. `skewless rebuild` makes one again.

    list: the records, newest first.

    show: one record, whole.

    verify: hash every byte of the ledger. What was edited, removed, inserted or put in another
    order is named by the first record that is wrong; what a kill or a full disk cut off is told.
    With --since-checkpoint it is held against signed checkpoints too: an older state of ledger and
    registry that somebody put back is found.

    checkpoint: sign where the ledger ends now, and append that to the checkpoints.

    key: make a key to sign with in FILE, and print its public half.
    """
    from skewless.store import FeatureStore

    if (name is None) == (action in ("show", "key")):
        raise InputError(f"ledger {action} {'needs' if name is None else 'takes no'} argument")
    if action == "key":
        _key(name or "", as_json)
        return
    with FeatureStore(repo) as fs:
        if action == "verify":
            key = given["public_key"] or ""
            report = fs.runtime.ledger.verify(
                signed=given["since_checkpoint"] or bool(key), public_key=key
            )
            emit(report) if as_json else say(str(report))
            if not report.ok:
                ctx.exit(1)
        elif action == "checkpoint":
            made = fs.runtime.ledger.checkpoint()
            emit(made) if as_json else say(f"Signed at {iso(made.at)} by {made.signer}")
        elif action == "show":
            emit(_plain(fs.runtime.ledger.get(name or "")))
        elif action == "runs":
            _runs(fs, as_json, given)
        elif action == "sets":
            _sets(fs, as_json, given["limit"])
        else:
            _list(fs, as_json, given)


def _key(file: str, as_json: bool) -> None:
    from skewless.ledger.checkpoints import make_key

    public = make_key(Path(file))
    if as_json:
        emit({"signing_key": file, "public_key": public})
    else:
        say(f'[ledger]\nsigning_key = "{file}"\npublic_key = "{public}"')


def _runs(fs: FeatureStore, as_json: bool, given: dict[str, Any]) -> None:
    found = fs.runs(given["job"], since=given["since"])[: given["limit"]]
    if as_json:
        emit([run.to_dict() for run in found])
    elif found:
        say(table(["run", "job", "began", "took", "status", "about", "who"], map(_run, found)))
    else:
        note("No job has run yet.")


def _run(run: Run) -> list[str]:
    took = "" if run.seconds is None else f"{run.seconds:,.1f} s"
    status = paint(run.status, _COLOURS[run.status]) if run.status in _COLOURS else run.status
    about = short(", ".join(f"{key}={value}" for key, value in run.about.items()))
    if run.error is not None:
        about = short(str(run.error.get("what", run.error["error"])))
    return [run.id, run.job, run.to_dict()["started"][:19] + "Z", took, status, about, run.who]


def _sets(fs: FeatureStore, as_json: bool, limit: int) -> None:
    found = fs.training_sets()[:limit]
    if as_json:
        emit([record.to_dict() for record in found])
    elif found:
        headers = ["training set", "at", "of", "rows", "features", "as of", "leakage", "spine"]
        rows = [
            [r.id, r.to_dict()["at"][:19] + "Z", r.service or short(", ".join(r.views)), r.rows,
             len(r.features), r.as_of, r.leakage, r.spine]
            for r in found
        ]  # fmt: skip
        say(table(headers, rows))
    else:
        note("No training set was made yet.")


def _list(fs: FeatureStore, as_json: bool, given: dict[str, Any]) -> None:
    from skewless.clock import to_micros

    since = None if given["since"] is None else to_micros(given["since"], where="--since")
    found = list(fs.runtime.ledger.records(kinds=given["kinds"] or None, since=since))
    found = found[: -given["limit"] - 1 : -1]
    if as_json:
        emit([_plain(record) for record in found])
    elif found:
        rows = [[each["record"], each["at"][:19] + "Z", each["kind"], short(str(each["data"]))]
                for each in map(_plain, found)]  # fmt: skip
        say(table(["record", "at", "kind", "data"], rows))
    else:
        note("The ledger has no such record.")


def _plain(record: Record) -> dict[str, Any]:
    from skewless.clock import iso

    return {
        "record": record.id, "at": iso(record.at), "kind": record.kind, "data": record.data,
    }  # fmt: skip

"""``skewless tend``: everything that is done from time to time, in one command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from skewless.cli.options import command
from skewless.cli.output import emit, paint, say, table
from skewless.clock import iso
from skewless.durations import format_duration
from skewless.errors import InputError

if TYPE_CHECKING:
    from skewless.online.runtime import Runtime


@command(
    "tend",
    example="skewless tend\nskewless tend --everything --json\nskewless tend --due",
    no="A part failed, a check does not hold, or a view is less fresh than promised.",
)
@click.option("--everything", is_flag=True, help="Do all of it, due or not.")
@click.option("--due", is_flag=True, help="Do nothing; say what is due when, by view.")
@click.pass_context
def tend_command(
    ctx: click.Context, /, *, repo: str, as_json: bool, everything: bool, due: bool
) -> None:
    """Do everything periodic that is due, once.

    Views are brought up to date and checks carried out every hour, event logs settled every day,
    and how fresh views are is noted every time. Run it as often as you like, from cron, a container
    or a DAG; of two at once, on any machines, one says that the other is at work. A part that fails
    keeps no other from being done, and a view that fails no other view.
    """
    from skewless.store import FeatureStore

    if due and everything:
        raise InputError("--due does nothing, --everything all of it", hint="Give one of them.")
    with FeatureStore(repo) as fs:
        if due:
            _show_due(fs.runtime, as_json=as_json)
            return
        report = fs.tend(everything=everything)
    if as_json:
        emit(report)
    else:
        rows = [[part.name, _status(part.status, part.ok), part.said] for part in report.parts]
        say(table(["part", "status", ""], rows))
    if not report.ok:
        ctx.exit(1)


def _show_due(runtime: Runtime, *, as_json: bool) -> None:
    from skewless.tend.schedule import due_items, due_parts

    items = due_items(runtime)
    of_parts = {each.name for each in items}
    found = [*items, *(each for each in due_parts(runtime) if each.name not in of_parts)]
    now = runtime.clock.now()
    if as_json:
        emit({"due": [each.to_dict(now) for each in found]})
        return
    rows = []
    for each in found:
        waits = each.waits(now)
        when = "off" if each.every is None else "due"
        when = when if waits is None else f"in {format_duration(waits)}"
        every = "" if not each.every else format_duration(each.every)
        last = "never" if each.last is None else iso(each.last)
        rows.append([each.name, each.of, every, last, when])
    say(table(["part", "of", "every", "last done", "next"], rows))


def _status(status: str, ok: bool) -> str:
    return status if ok else paint(status, "red")

"""``skewless test``: the examples beside the definitions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from skewless.cli.options import command
from skewless.cli.output import emit, note, say
from skewless.errors import InputError

if TYPE_CHECKING:
    from skewless.parity.examples import ExampleReport


@command(
    "test",
    example="skewless test\nskewless test Spend --json",
    no="A value is not as expected.",
)
@click.argument("views", nargs=-1)
@click.pass_context
def test_command(
    ctx: click.Context, /, *, repo: str, as_json: bool, views: tuple[str, ...]
) -> None:
    """Carry out the examples beside the definitions: of VIEWS, by default all.

    Each has a store of its own. Its rows are pushed in the order in which they became known, and
    the features are read online and built as a training set: both have to be what is expected. One
    that fails shows the rows that counted.
    """
    report = carried_out(Path(repo), views)
    if as_json:
        emit(report)
    elif report.results:
        say(str(report))
    else:
        note("There are no examples yet: sl.Example(...) beside the definitions.")
    if not report.ok:
        ctx.exit(1)


def carried_out(repo: Path, views: tuple[str, ...] = ()) -> ExampleReport:
    """Carry out the examples of a repo, of some views or of all.

    Raises:
        InputError: the views have none.
    """
    from skewless.config import Config
    from skewless.definitions.example import examples_in
    from skewless.definitions.loading import import_files
    from skewless.definitions.repo import Definitions
    from skewless.parity.examples import run_examples

    config = Config.read(repo)
    modules = import_files(config.folder, config.definitions or None)
    found = [each for each in examples_in(modules) if not views or each.of.name in views]
    if views and not found:
        raise InputError("no examples", got=", ".join(views), where=str(config.folder))
    return run_examples(Definitions.of(modules), found)

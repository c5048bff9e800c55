"""``skewless capacity``: machines, memory, partitions and money for a load."""

from __future__ import annotations

import json
from pathlib import Path

import click

from skewless.cli.options import command
from skewless.cli.output import emit, note, say, table
from skewless.errors import ConfigError, InputError


@command(
    "capacity",
    example="skewless capacity --template > capacity.toml\n"
    "skewless capacity capacity.toml --out measured.json\n"
    "skewless capacity larger.toml --measured measured.json",
)
@click.argument("rates", required=False, type=click.Path(path_type=Path), metavar="[RATES]")
@click.option(
    "--measured", type=click.Path(path_type=Path), metavar="FILE",
    help="Figures that --out wrote, on another machine perhaps.  [default: measured now]",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="Write what was measured."
)
@click.option("--template", is_flag=True, help="Print a file of rates and prices to fill in.")
def capacity_command(
    repo: str,
    as_json: bool,
    *,
    rates: Path | None,
    measured: Path | None,
    out: Path | None,
    template: bool,
) -> None:
    """Say what a load needs: machines, memory, partitions, money.

    And what gives way first.

    RATES says how many rows come a second, of how many entities, how many vectors are read, and
    prices. What a core of this machine does with the definitions of the repo is measured, with rows
    made up for them, in a folder that goes afterwards: it takes some seconds a source.
    """
    from skewless.capacity.measure import Figures, machine_name, measure
    from skewless.capacity.model import capacity
    from skewless.capacity.rates import TEMPLATE, Load
    from skewless.store import FeatureStore

    if template:
        say(TEMPLATE.rstrip())
        return
    if rates is None:
        raise InputError("capacity needs a file of rates", hint="skewless capacity --template")
    load = Load.read(rates)
    if measured is not None:
        try:
            figures = Figures.from_dict(json.loads(measured.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as problem:
            where = str(measured)
            raise ConfigError("not a file of figures", got=str(problem), where=where) from None
    else:
        with FeatureStore(repo) as fs:
            figures = measure(fs.runtime.wanted(), load, machine_name())
    if out is not None:
        out.write_text(json.dumps(figures.to_dict(), indent=1) + "\n", encoding="utf-8")
        note(f"Written to {out}.")
    found = capacity(load, figures)
    if as_json:
        emit(found.to_dict())
        return
    say(table(["what", "", "because"], [[x.what, x.value, x.because] for x in found.lines]))
    say("\nWhat gives way first (times what there is):")
    rows = [[x.what, f"{x.times:.3g}", x.because, x.remedy] for x in found.limits]
    say(table(["limit", "times", "because", "then"], rows))
    for line in found.notes:
        note(line)

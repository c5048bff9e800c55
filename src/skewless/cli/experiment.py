"""``skewless experiment``: what an experiment is, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from skewless.cli.options import command
from skewless.cli.output import emit, say
from skewless.durations import format_duration

if TYPE_CHECKING:
    from skewless.experiments.experiment import Experiment


@command(
    "experiment",
    example="skewless experiment new_velocity\n"
    "skewless experiment new_velocity --outcome Chargebacks:lost_7d --after 7d --json\n"
    "skewless experiment new_velocity --stop",
)
@click.argument("name")
@click.option("--outcome", default="", metavar="VIEW:FEATURE", help="What is compared.")
@click.option("--after", metavar="DURATION", help="How long after a key's first exposure: 7d.")
@click.option(
    "--confidence", type=click.FloatRange(0.5, 0.999), default=0.95, show_default=True,
    help="Of the intervals.",
)  # fmt: skip
@click.option("--stop", is_flag=True, help="End it: from now on every key has the control.")
def experiment_command(repo: str, as_json: bool, *, name: str, **given: Any) -> None:
    """Compare outcomes of the two feature services of an experiment.

    The outcome of a key is a feature, so long after the key's first exposure, as it was known then.
    Keys whose outcome is not due yet wait. Each look is counted in the ledger: whoever looks until
    there is a difference finds one, so an interval that holds for any number of looks stands
    beside the usual one. Without an outcome, what the experiment is.
    """
    from skewless.store import FeatureStore

    with FeatureStore(repo) as fs:
        trial = fs.experiment(name)
        if given["stop"]:
            trial.stop()
        if given["stop"] or not (given["outcome"] or trial.design.outcome):
            emit(_about(trial)) if as_json else say(_text(_about(trial)))
            return
        report = trial.compare(given["outcome"], given["after"], confidence=given["confidence"])
    emit(report.to_dict()) if as_json else say(str(report))


def _about(trial: Experiment) -> dict[str, Any]:
    design = trial.design
    return {
        "name": design.name, **trial.services, "by": [key for key, _ in design.by],
        "share": design.share, "outcome": design.outcome,
        "after": format_duration(design.after) if design.after else "0s",
        "running": trial.stopped is None, "exposed": len(trial.exposures()),
    }  # fmt: skip


def _text(about: dict[str, Any]) -> str:
    return "\n".join(f"{key:10} {value}" for key, value in about.items())

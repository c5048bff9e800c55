"""``skewless leakage`` and ``backtest``: what comes from after the label, and what it does."""

from __future__ import annotations

from typing import Any

import click

from skewless.cli.inputs import table_of, types_asked
from skewless.cli.options import asked_for, command, pairs
from skewless.cli.output import emit, progress, say


@command(
    "leakage",
    example="skewless leakage train.parquet --timestamp at --label is_fraud\n"
    "skewless leakage train.csv --timestamp at --time spend=spend_at --known spend=loaded_at\n"
    "skewless leakage spine.parquet --timestamp at --label is_fraud --features fraud_model",
    no="Something leaks.",
)
@click.argument("training", type=click.Path(exists=True, dir_okay=False))
@click.option("--timestamp", required=True, metavar="COLUMN", help="When the prediction is made.")
@click.option("--label", metavar="COLUMN", help="What is predicted.")
@click.option(
    "--time",
    "times",
    multiple=True,
    metavar="COLUMN=COLUMN",
    help="A column, and the one with the event time of its values; repeatable.",
)
@click.option(
    "--known",
    multiple=True,
    metavar="COLUMN=COLUMN",
    help="A column, and the one with the time its values were known; repeatable.",
)
@click.option("--features", help="TRAINING is a spine: build these features and check them.")
@click.option(
    "--as-of", type=click.Choice(["known", "event_time"]), default="known", show_default=True,
    help="How --features are built.",
)  # fmt: skip
@click.pass_context
def leakage_command(ctx: click.Context, /, *, repo: str, as_json: bool, **given: Any) -> None:
    """Report what in a training set comes from after its label.

    TRAINING is any file of rows with timestamps (Parquet, CSV or JSON), made by skewless or not:
    values later than the label, known only after it, or rows that are the label event itself.
    """
    from skewless.store import FeatureStore

    with FeatureStore(repo) as fs:
        training: Any
        if given["features"] is None:
            training = table_of(given["training"])
        else:
            wanted = asked_for(given["features"])
            with progress() as report:
                training = fs.get_historical_features(
                    table_of(given["training"], types_asked(fs, wanted)),
                    wanted,
                    timestamp=given["timestamp"],
                    as_of=given["as_of"],
                    progress=report,
                )
        receipt = fs.leakage(
            training,
            timestamp=given["timestamp"],
            label=given["label"],
            times=pairs(given["times"], "a column") or None,
            known=pairs(given["known"], "a column") or None,
        )
    if as_json:
        emit(receipt)
    else:
        say(str(receipt))
    if receipt.leaks:
        ctx.exit(1)


@command(
    "backtest",
    example="skewless backtest spine.parquet fraud_model --timestamp at --label is_fraud\n"
    "skewless backtest spine.csv FabRolling --timestamp at --label failed --holdout 0.3 --json",
)
@click.argument("spine", type=click.Path(exists=True, dir_okay=False))
@click.argument("features")
@click.option("--timestamp", required=True, metavar="COLUMN", help="The spine's time column.")
@click.option("--label", required=True, metavar="COLUMN", help="What is predicted.")
@click.option(
    "--holdout",
    type=float,
    default=0.25,
    show_default=True,
    help="Share of rows, the latest, to evaluate on.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the model.")
def backtest_command(repo: str, as_json: bool, spine: str, features: str, **given: Any) -> None:
    """Measure what leakage does to a model.

    Trains one model on naive (newest), event-time and as-known features, and compares on a later
    holdout what each promises with what it keeps on the features that serving would have had.
    """
    from skewless.store import FeatureStore

    with FeatureStore(repo) as fs:
        wanted = asked_for(features)
        report = fs.backtest(table_of(spine, types_asked(fs, wanted)), wanted, **given)
    if as_json:
        emit(report)
    else:
        say(str(report))

"""``skewless flink``: a job that keeps up the states of a source, in place of a worker."""

from __future__ import annotations

import contextlib
import importlib
import signal
from collections.abc import Iterator
from typing import Any, NoReturn

import click

from skewless.cli.options import command, pairs
from skewless.cli.output import emit, note, say
from skewless.errors import InputError, MissingDependency


@command(
    "flink",
    example="skewless flink run payments --jar flink-sql-connector-kafka-5.0.0-2.2.jar\n"
    "skewless flink submit payments --jobmanager flink:8081 --parallelism 8 --folder /etc/skewless",
)
@click.argument("action", type=click.Choice(["run", "submit"]))
@click.argument("source")
@click.option("--jobmanager", metavar="HOST:PORT", help="submit: REST interface of the cluster.")
@click.option("--parallelism", type=click.IntRange(1), help="Tasks; at most one a partition works.")
@click.option(
    "--checkpoint",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    metavar="SECONDS",
    help="How often Flink notes how far it has read.",
)
@click.option("--folder", metavar="PATH", help="Folder of skewless.toml where tasks run.")
@click.option("--jar", metavar="PATH", help="Kafka's connector, if Flink lacks it.")
@click.option("--python", metavar="PATH", help="Python of the tasks.  [default: this one]")
@click.option("--option", multiple=True, metavar="NAME=VALUE", help="A setting of Flink.")
@click.option("--kafka", multiple=True, metavar="NAME=VALUE", help="One of Java's Kafka client.")
def flink_command(*, repo: str, as_json: bool, action: str, source: str, **given: Any) -> None:
    """Keep up the states of a source by a job of Flink, from its topic of Kafka.

    run: a cluster inside this process, until SIGTERM or Ctrl-C.

    submit: hand the job to a cluster and return.

    The topic is the log, there is no journal: the repo reads the states, and may not push. The
    first job takes them over, if their store is empty; a later one goes on where they are. What
    cannot be exact so is refused: see docs/flink.md.
    """
    if given["jobmanager"] and action != "submit":
        raise InputError("flink run takes no --jobmanager", hint="Use flink submit.")
    options = {"execution.checkpointing.interval": f"{given['checkpoint']}s"}
    if given["parallelism"] is not None:
        options["parallelism.default"] = str(given["parallelism"])
    job = _plug().Job(
        repo,
        source,
        given["folder"],
        given["jar"],
        given["python"],
        options | pairs(given["option"], "an --option"),
        pairs(given["kafka"], "a --kafka"),
    )
    if action == "run":
        note("Starting Flink; SIGTERM or Ctrl-C ends the job.")
        with _interrupted_by_sigterm():
            told = job.run()
    else:
        told = job.submit(given["jobmanager"])
    if as_json:
        emit({"source": source, "job": told})
    elif action == "submit":
        say(f"Submitted: job {told}.")


def _plug() -> Any:
    try:
        return importlib.import_module("skewless.plugs.flink")
    except ModuleNotFoundError as problem:
        needs = "skewless flink"
        raise MissingDependency.of("confluent-kafka", "flink", needed_for=needs) from problem


@contextlib.contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

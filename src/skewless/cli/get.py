"""``skewless get``: feature vectors from the online store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from skewless.cli.inputs import entities_of, types_asked
from skewless.cli.options import asked_for, at_option, command, pairs, typed
from skewless.cli.output import emit, paint, say, table
from skewless.errors import InputError
from skewless.formatting import ago, shown

if TYPE_CHECKING:
    from skewless.plan.results import OnlineResult

_COLOURS = {
    "null": "yellow",
    "empty": "yellow",
    "unknown": "red",
    "expired": "yellow",
    "building": "magenta",
    "masked": "magenta",
}


@command(
    "get",
    example="skewless get yield_model fab_id=f1\n"
    "skewless get FabRolling:vdd_mean,FabRolling:idd_now fab_id=f1 --json\n"
    "skewless get FabRolling --entities fabs.json",
)
@click.argument("features")
@click.argument("entity", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--entities",
    "file",
    type=click.Path(exists=True, allow_dash=True, dir_okay=False),
    help="JSON (array or lines) of join keys and request fields; - is stdin.",
)
@at_option("The moment, at most `rewind` in the past.  [default: now]")
@click.option("--full-names", is_flag=True, help="Call features View__feature.")
def get_command(repo: str, as_json: bool, features: str, **given: Any) -> None:
    """Read feature vectors from the online store.

    FEATURES is a feature service, a view, or references View:feature between commas. KEY=VALUE
    are the join keys of one entity, and request fields of on-demand features.
    """
    from skewless.store import FeatureStore

    entities: list[Mapping[str, Any]] = []
    if given["entity"]:
        entities.append(pairs(given["entity"]))
    if given["file"]:
        entities += entities_of(given["file"])
    if not entities:
        raise InputError(
            "no entity is asked for", expected="key=value, or --entities entities.json"
        )
    with FeatureStore(repo) as fs:
        wanted = asked_for(features)
        dtypes = types_asked(fs, wanted, given["full_names"])
        rows = [typed(entity, dtypes, features) for entity in entities]
        result = fs.get_online_features(
            wanted, rows, at=given["at"], full_names=given["full_names"]
        )
    if as_json:
        emit(as_data(result))
    else:
        say("\n\n".join(_entity_text(result, number) for number in range(len(result))))


def as_data(result: OnlineResult) -> dict[str, Any]:
    """Return a result as plain data: per entity its features with status and event time."""
    from skewless.clock import iso

    rows = []
    for entity, values, statuses, events in zip(
        result.entities, result.values, result.statuses, result.events, strict=True
    ):
        features = {
            name: {
                "value": value,
                "status": status.value,
                "event_time": None if event is None else iso(event),
            }
            for name, value, status, event in zip(
                result.names, values, statuses, events, strict=True
            )
        }
        rows.append({"entity": entity, "features": features})
    return {"at": iso(result.at), "rows": rows}


def _entity_text(result: OnlineResult, number: int) -> str:
    title = ", ".join(f"{key}={shown(value)}" for key, value in result.entities[number].items())
    rows = []
    found = zip(
        result.names,
        result.values[number],
        result.statuses[number],
        result.events[number],
        strict=True,
    )
    for name, value, status, event in found:
        old = "-" if event is None else ago(result.at - event)
        rows.append([name, value, status.value, old])
    text = table(["feature", "value", "status", "age"], rows)
    return paint(title, "cyan") + "\n" + _coloured(text)


def _coloured(text: str) -> str:
    """Colour the lines whose status is not ``present``."""
    lines = []
    for line in text.splitlines():
        words = line.split()
        colour = next((_COLOURS[word] for word in words[-2:] if word in _COLOURS), None)
        lines.append(paint(line, colour) if colour else line)
    return "\n".join(lines)

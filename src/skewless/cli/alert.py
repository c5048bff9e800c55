"""``skewless alert``: the alerts that are open; acknowledge one, silence some, test receivers."""

from __future__ import annotations

from typing import Any

import click

from skewless.cli.options import command
from skewless.cli.output import emit, note, paint, say, table
from skewless.errors import InputError

ACTIONS = ("list", "ack", "silence", "test")


@command(
    "alert",
    example="skewless alert\nskewless alert ack Spend@v1/freshness --who ada\n"
    'skewless alert silence "Spend*" --for 2h --who ada --why "planned outage"',
    no="list: an alert is open that pages, and nobody has acknowledged or silenced it."
    " test: a receiver did not take it.",
)
@click.argument("action", type=click.Choice(ACTIONS), default="list")
@click.argument("of", metavar="[ALERT]", required=False)
@click.option("--who", default="", help="ack, silence: your name; it stands in the ledger.")
@click.option("--why", default="", help="ack, silence: the reason.")
@click.option("--for", "length", default="2h", show_default=True, help="silence: how long.")
@click.pass_context
def alert_command(
    ctx: click.Context, /, *, repo: str, as_json: bool, action: str, of: str | None, **given: Any
) -> None:
    """List the alerts that are open, acknowledge one, or silence some.

    `skewless tend` opens and ends alerts, and tells the receivers of [alerts] in skewless.toml:
    Slack, Teams, PagerDuty or a webhook. Each is told once; what comes and goes stays one alert.

    list: the alerts that are open, pages first.

    ack: somebody looks after it, so it is not told again unless it becomes worse.

    silence: nothing is told of what a pattern names (a view, or view/rule) for a while.

    test: each receiver is sent a message that says it is a test, and its end.
    """
    from skewless.store import FeatureStore

    if (of is None) != (action in ("list", "test")):
        raise InputError(f"alert {action} {'needs' if of is None else 'takes no'} alert")
    with FeatureStore(repo) as fs:
        if action == "ack":
            alert = fs.acknowledge(of or "", who=given["who"], why=given["why"])
            emit(alert) if as_json else say(f"{alert.key} is looked after by {alert.who}")
        elif action == "silence":
            made = fs.silence(of or "", given["length"], who=given["who"], why=given["why"])
            said = made.to_dict()
            emit(said) if as_json else say(f"{made.of} is silent until {said['until']}")
        elif action == "test":
            _tested(ctx, fs.test_alerts(), as_json)
        else:
            found = fs.alerts()
            if as_json:
                emit([alert.to_dict() for alert in found])
            elif found:
                heads = ["alert", "level", "since", "told", "by", "what"]
                say(table(heads, [_row(alert.to_dict()) for alert in found]))
            else:
                note("No alert is open.")
            if any(alert.level == "page" and not (alert.who or alert.silenced) for alert in found):
                ctx.exit(1)


def _tested(ctx: click.Context, found: dict[str, str], as_json: bool) -> None:
    if as_json:
        emit(found)
    for name, problem in found.items() if not as_json else ():
        say(f"{name}: {problem or 'took it'}")
    if not found:
        note("No receiver is named in [alerts].")
    if any(found.values()):
        ctx.exit(1)


def _row(alert: dict[str, Any]) -> list[str]:
    told = "not yet" if alert["told"] is None else alert["told"][:19] + "Z"
    told = f"silent until {alert['silenced'][:16]}Z" if alert["silenced"] else told
    level = paint(alert["level"], "red") if alert["level"] == "page" else alert["level"]
    text = alert["text"] if alert["firing"] else f"(away) {alert['text']}"
    key = alert["key"].partition("/")[2]
    return [key, level, alert["opened"][:19] + "Z", told, alert["who"] or "-", text]

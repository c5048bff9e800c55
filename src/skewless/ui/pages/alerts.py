"""Alerts: what is open, who looks after it, what is silent, and who is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skewless.alerts.alerts import Alert, open_alerts, silences
from skewless.alerts.routing import routing
from skewless.clock import iso
from skewless.monitoring.freshness import models_of_views
from skewless.ui.page import Page
from skewless.ui.render import address
from skewless.ui.site import Site

_DAYS = 30 * 86_400_000_000


def page(site: Site, given: dict[str, str]) -> Page:
    """Return the alerts that are open, the silences that hold, and the receivers.

    Raises:
        ConfigError: ``[alerts]`` is wrong.
    """
    del given
    runtime, now = site.runtime, site.now()
    models = _models(site)
    found = [_line(site, alert, models) for alert in open_alerts(runtime)]
    where = routing(runtime, now - _DAYS)
    data: dict[str, Any] = {
        "waiting": [each for each in found if not each["who"] and not each["silenced"]],
        "acknowledged": [each for each in found if each["who"] and not each["silenced"]],
        "silenced": [each for each in found if each["silenced"]],
        "silences": [each.to_dict() for each in silences(runtime.ledger, now)],
        "receivers": [
            {
                "name": each.name,
                "kind": each.kind,
                "levels": list(each.levels),
                "owners": list(each.owners),
                "rules": list(each.rules),
                "took": iso(where.delivered[each.name]) if each.name in where.delivered else None,
            }
            for each in where.receivers
        ],
    }
    return Page("alerts.html", "Alerts", data, {}, "alerts")


def _models(site: Site) -> Mapping[str, set[str]]:
    """Return the models that were trained on each view, and on what each source feeds."""
    found = models_of_views(site.runtime.ledger)
    for (name, version), view in site.state.views.items():
        trained = found.get(f"{name}@v{version}", set())
        found[view.source.name] = found.get(view.source.name, set()) | trained
    return found


def _line(site: Site, alert: Alert, models: Mapping[str, set[str]]) -> dict[str, Any]:
    """Return an alert with the page of what it is about, and the models that it hits."""
    key = f"{alert.of}/{alert.rule}"
    link = ""
    if alert.rule == "job":
        link = address("runs", job=alert.of)
    elif alert.rule == "skew":
        link = address("runs", job="verify")
    elif alert.of in site.state.sources:
        link = address("sources", alert.of)
    elif alert.of.partition("@")[0] in site.state.current:
        link = address("views", alert.of)
    hit = sorted(models.get(alert.of, ()))
    return {**alert.to_dict(), "short": key, "link": link, "models": hit}

"""What is expected of sources and views, and how often it held: read from the ledger."""

from __future__ import annotations

from skewless.clock import iso
from skewless.definitions import FeatureView
from skewless.plan.apply.registry_state import RegistryState
from skewless.quality.check import attainment
from skewless.ui.check_days import DAY, results
from skewless.ui.page import Page
from skewless.ui.site import Site, label_of

DAYS = 30


def page(site: Site, given: dict[str, str]) -> Page:
    """Return every check with what it found last, and day by day; what fails comes first."""
    del given
    since = (site.now() // DAY - DAYS + 1) * DAY
    found = results(site.runtime.ledger, since)
    declared = _declared(site.state)
    carried_out = {(of, check) for of, _, check in found}
    lines = [
        {"of": of, "check": check, "never": True, "ok": True, "days": {}}
        for of, check in declared
        if (of, check) not in carried_out
    ]
    lines += found.values()
    lines.sort(key=lambda line: (line["ok"], line["of"], line["check"]))
    data = {
        "since": iso(since),
        "checks": lines,
        "attainment": [each.to_dict() for each in attainment(site.runtime.ledger, since)],
    }
    days = [since // DAY + number for number in range(DAYS)]
    shown = {"days_": days, "sources": set(site.state.sources)}
    return Page("quality.html", "Quality", data, shown, "quality")


def _declared(state: RegistryState) -> list[tuple[str, str]]:
    """Return the checks that are declared: source or view, and the words of the check."""
    found = [
        (name, str(check)) for name, source in state.sources.items() for check in source.checks
    ]
    for name, version in state.current.items():
        view = state.view(name)
        if isinstance(view, FeatureView):
            found += [(label_of(view, version), str(check)) for check in view.checks]
    return found

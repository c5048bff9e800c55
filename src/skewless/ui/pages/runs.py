"""What happened, by the ledger: the jobs that ran, and the training sets that were made."""

from __future__ import annotations

from typing import Any

from skewless.codec import to_json
from skewless.training.records import training_set_of
from skewless.ui.page import Page
from skewless.ui.site import Site

_MOST = 100


def page(site: Site, given: dict[str, str]) -> Page:
    """Return the newest runs, of one ``job`` where that is given."""
    job = given.get("job") or None
    found = site.store.runs(job)
    data = {
        "job": job or "",
        "jobs": sorted({run.job for run in site.store.runs()} if job else {r.job for r in found}),
        "count": len(found),
        "runs": [_run(run.to_dict()) for run in found[:_MOST]],
    }
    return Page("runs.html", "Runs", data, {}, "runs")


def _run(run: dict[str, Any]) -> dict[str, Any]:
    about = {name: to_json(value) for name, value in run["about"].items() if value is not None}
    return {**run, "about": about, "result": to_json(dict(run["result"]))}


def training_sets(site: Site, given: dict[str, str]) -> Page:
    """Return the newest training sets."""
    del given
    found = site.store.training_sets()
    data = {"count": len(found), "sets": [each.to_dict() for each in found[:_MOST]]}
    return Page("training_sets.html", "Training sets", data, {}, "training sets")


def training_set(site: Site, given: dict[str, str]) -> Page:
    """Return what the ledger says of a training set, and what was made of it.

    Raises:
        UnknownName: the ledger has none of that id.
    """
    record = training_set_of(site.runtime.ledger, given["name"])
    made = site.store.lineage(record.id, up=0, down=1)
    data = {**record.to_dict(), "models": made.of_kind("model")}
    return Page("training_set.html", record.id, data, {}, "training sets")

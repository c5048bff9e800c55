"""Dagster: an asset for each feature view and source, checks of them, partitions to backfill.

    import dagster as dg
    from skewless.plugs.dagster import assets_of, checks_of

    defs = dg.Definitions(assets=assets_of("features"), asset_checks=checks_of("features"))

An asset depends on that of its source, which Dagster does not make; materialized, it brings the
online store up to date. Its data version says the view's definition and the newest event that is
served, so that what depends on it knows whether anything has changed. With ``start`` it has a
partition for each day, and a backfill of many of them is one run.
"""

# Without annotations from __future__: Dagster looks at that of a context itself.

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from skewless.clock import from_micros
from skewless.definitions import FeatureView, Source
from skewless.errors import UnknownName
from skewless.monitoring.freshness import ViewFreshness
from skewless.store import FeatureStore

Repo = str | Path
CHECKS = ("freshness", "quality", "parity")
KIND = "skewless"


def assets_of(
    repo: Repo, views: Sequence[str] | None = None, *, start: str | None = None
) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """Return an asset for each view, and one outside of Dagster for each source.

    Args:
        repo: the folder of a repo; it is opened now, and again by each run.
        views: names; None for all.
        start: the first day, ``2026-01-01`` in UTC: there is a partition for each day from it on.
            A run of some brings up to date what changed within them; see `FeatureStore.backfill`.

    Raises:
        UnknownName: no such view.
    """
    days = None if start is None else dg.DailyPartitionsDefinition(start_date=start, timezone="UTC")
    with FeatureStore(repo) as fs:
        chosen = _views(fs, views)
        sources = {view.source.name: view.source for view in chosen}
        return [
            *(_source_spec(source) for source in sources.values()),
            *(_asset(repo, view, days) for view in chosen),
        ]


def checks_of(
    repo: Repo,
    views: Sequence[str] | None = None,
    *,
    which: Sequence[str] = CHECKS,
    blocking: bool = False,
) -> list[dg.AssetChecksDefinition]:
    """Return checks for each view.

    ``freshness`` (is it as fresh as promised?), ``quality`` (do the checks of the view and its
    source hold?) and ``parity`` (is what is served, bit for bit, what history gives? That is
    `FeatureStore.verify`).

    Args:
        repo: the folder of a repo; it is opened now, and again by each run.
        views: names; None for all.
        which: of the three.
        blocking: whether assets that depend on a view wait for its checks to hold.

    Raises:
        UnknownName: no such view, or no such check.
    """
    for name in which:
        if name not in CHECKS:
            raise UnknownName.of("check", name, CHECKS, where="the plug of Dagster")
    with FeatureStore(repo) as fs:
        chosen = _views(fs, views)
        return [_check(repo, view, name, blocking) for view in chosen for name in which]


def _views(fs: FeatureStore, names: Sequence[str] | None) -> list[FeatureView]:
    found = {name: view for name, view in fs.views.items() if isinstance(view, FeatureView)}
    for name in names or ():
        if name not in found:
            raise UnknownName.of("feature view", name, found, where="the repo")
    return [found[name] for name in (found if names is None else names)]


def _source_spec(source: Source) -> dg.AssetSpec:
    return dg.AssetSpec(
        source.name, description=source.description or None, kinds={KIND}, group_name="sources"
    )


def _asset(
    repo: Repo, view: FeatureView, days: dg.DailyPartitionsDefinition | None
) -> dg.AssetsDefinition:
    def materialized(context: dg.AssetExecutionContext) -> Any:
        with FeatureStore(repo) as fs:
            if context.has_partition_key or context.has_partition_key_range:
                start, end = context.partition_time_window
                results = fs.backfill(view.name, start=start, end=end)
            else:
                results = fs.materialize(view.name)
            fresh = _freshness(fs, view.name)
            known = fs.views[view.name]
        served = None if fresh is None or fresh.served is None else fresh.served
        assert isinstance(known, FeatureView)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": sum(each.entities for each in results),
                "rows read": sum(each.rows for each in results),
                "newest event": "none" if served is None else from_micros(served).isoformat(),
                "version": 0 if fresh is None else fresh.version,
            },
            data_version=dg.DataVersion(f"{known.fingerprint}@{served}"),
        )

    owner = str(view.labels.get("owner", ""))
    made: dg.AssetsDefinition = dg.asset(
        name=view.name, deps=[view.source.name], partitions_def=days, group_name="features",
        description=str(view.labels.get("description") or "") or None, kinds={KIND},
        code_version=view.fingerprint, metadata={"owner": owner} if owner else None,
        backfill_policy=None if days is None else dg.BackfillPolicy.single_run(),
    )(materialized)  # fmt: skip
    return made


def _check(repo: Repo, view: FeatureView, name: str, blocking: bool) -> dg.AssetChecksDefinition:
    look: Callable[[FeatureStore, FeatureView], dg.AssetCheckResult] = {
        "freshness": _fresh, "quality": _quality, "parity": _parity,
    }[name]  # fmt: skip

    def checked() -> Any:
        with FeatureStore(repo) as fs:
            return look(fs, view)

    made: dg.AssetChecksDefinition = dg.asset_check(
        asset=view.name, name=name, blocking=blocking
    )(checked)  # fmt: skip
    return made


def _freshness(fs: FeatureStore, view: str) -> ViewFreshness | None:
    return next(iter(_freshnesses(fs, view)), None)


def _freshnesses(fs: FeatureStore, view: str) -> Iterator[ViewFreshness]:
    yield from (each for each in fs.freshness().views if each.view == view)


def _fresh(fs: FeatureStore, view: FeatureView) -> dg.AssetCheckResult:
    found = _freshness(fs, view.name)
    status = "never" if found is None else found.status
    warns = found is not None and status == "ok" and found.level == "warn"
    severity = dg.AssetCheckSeverity.WARN if warns else dg.AssetCheckSeverity.ERROR
    note = "" if found is None else found.note
    return dg.AssetCheckResult(
        passed=status == "ok" and not warns, severity=severity,
        metadata={"status": status, "note": note},
    )  # fmt: skip


def _quality(fs: FeatureStore, view: FeatureView) -> dg.AssetCheckResult:
    report = fs.check([view.source.name, view.name])
    blocks = any(each.action != "warn" for each in report.failed)
    return dg.AssetCheckResult(
        passed=report.ok, metadata={"report": str(report), "failed": len(report.failed)},
        severity=dg.AssetCheckSeverity.ERROR if blocks else dg.AssetCheckSeverity.WARN,
    )  # fmt: skip


def _parity(fs: FeatureStore, view: FeatureView) -> dg.AssetCheckResult:
    report = fs.verify(view.name)
    return dg.AssetCheckResult(
        passed=report.ok,
        metadata={"report": str(report), "values": sum(report.values.values())},
    )

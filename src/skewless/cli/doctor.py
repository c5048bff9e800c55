"""``skewless doctor``: what is wrong with a set-up, a line a check."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from skewless.cli import checks, repo_checks, store_checks
from skewless.cli.checks import Finding, Findings, guarded
from skewless.cli.options import command
from skewless.cli.output import emit, paint, say
from skewless.config import Config
from skewless.errors import SkewlessError

if TYPE_CHECKING:
    from skewless.store import FeatureStore

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}
_STORES: dict[str, Callable[[FeatureStore], Findings]] = {
    "registry": checks.registry,
    "online store": store_checks.online,
    "other stores": store_checks.others,
}
_IN_THEM: dict[str, Callable[[FeatureStore], Findings]] = {
    "event log": repo_checks.logs,
    "table": repo_checks.tables,
    "known time": repo_checks.known_times,
    "definitions": repo_checks.definitions,
    "online states": repo_checks.states,
    "sunset": repo_checks.sunsets,
    "quarantine": repo_checks.quarantines,
    "freshness": repo_checks.freshness,
}
_NEEDED = ("registry", "online store", "journal")


@command(
    "doctor",
    example="skewless doctor\nskewless doctor --strict --json\nskewless doctor --deep",
    no="A check failed; with --strict also: a check warns.",
    repo="any",
)
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings too.")
@click.option("--deep", is_flag=True, help="Read every byte of stores and logs too.")
@click.pass_context
def doctor_command(ctx: click.Context, repo: str, as_json: bool, strict: bool, deep: bool) -> None:
    """Tell what is wrong with a set-up, with a hint for each finding.

    Looks at versions, kernels, settings, disks, the registry, every store of the settings (a real
    round trip, timed), event logs, tables, definitions, states, sunsets, quarantine and freshness.
    With --deep, every row of the stores and every file of the logs is read, and what is damaged is
    named. It changes nothing.
    """
    found: list[Finding] = []
    for finding in examine(repo, deep=deep):
        found.append(finding)
        if not as_json:
            _say(finding)
    bad = [finding.status for finding in found]
    healthy = "fail" not in bad and not (strict and "warn" in bad)
    if as_json:
        emit({"healthy": healthy, "findings": [vars(finding) for finding in found]})
    else:
        counts = ", ".join(f"{bad.count(status)} {status}" for status in _COLOURS)
        say(f"\n{len(found)} checks: {counts}.")
    if not healthy:
        ctx.exit(1)


def examine(repo: str, *, deep: bool = False) -> Findings:
    """Yield all findings about a repo; those that need what failed are left out."""
    from skewless.store import FeatureStore

    yield from guarded("python", checks.python)
    yield from guarded("kernels", checks.kernels)
    try:
        config = Config.read(repo)
    except SkewlessError as problem:
        yield checks.failed("settings", problem)
        return
    yield Finding("settings", "ok", str(config.file or f"{config.folder}: all by default"))
    yield from guarded("folder", lambda: checks.folders(config))
    with FeatureStore(config) as fs:
        broken = False
        for name, check in _STORES.items():
            for finding in guarded(name, lambda check=check: check(fs)):  # type: ignore[misc]
                broken |= finding.status == "fail" and finding.check in _NEEDED
                yield finding
        if deep:
            yield from guarded("bytes", lambda: store_checks.every_byte(fs))
        if broken:
            return
        if deep:
            yield from guarded("online states", lambda: store_checks.every_state(fs))
        for name, check in _IN_THEM.items():
            yield from guarded(name, lambda check=check: check(fs))  # type: ignore[misc]


def _say(finding: Finding) -> None:
    status = paint(f"{finding.status:<4}", _COLOURS[finding.status])
    say(f"{status}  {finding.check:<14} {finding.text}")
    if finding.hint:
        say(f"{'':<21} {finding.hint}")

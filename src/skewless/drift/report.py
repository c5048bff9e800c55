"""What a run of drift found; it prints, and draws itself in notebooks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from skewless.clock import iso
from skewless.drift.compare import Finding
from skewless.formatting import Drawn, aligned, count_of, html_table

_HEAD = ("feature", "", "", "effect", "p adjusted", "n", "m", "could show", "against", "beside")
_SHOWN = 40
_SIGNS = {"page": "! page", "warn": "~ warn", "": ""}
_COLOURS = {"page": "missing", "warn": "expired"}


@dataclass(frozen=True)
class Mix:
    """Of whom a view's reference and its present are: said before features are blamed.

    Attributes:
        of: the view, version included.
        known: about which share of the entities served now the training set has.
        hours: which share of the reads come at other hours of the day than the spine's rows.
        reference: the training set.
    """

    of: str
    known: float | None
    hours: float | None
    reference: str

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return vars(self).copy()

    def __str__(self) -> str:
        known = "-" if self.known is None else f"{self.known:.0%}"
        hours = "-" if self.hours is None else f"{self.hours:.0%}"
        return (
            f"{self.of}: {known} of the entities served are in training set {self.reference};"
            f" {hours} of the reads come at other hours of the day"
        )


@dataclass(frozen=True)
class DriftReport(Drawn):
    """What was found of some features.

    Attributes:
        of: what was asked about; empty: everything.
        at: when, UTC microseconds.
        findings: of every test, alerts first, then by effect.
        mixes: whose values they are, where a training set and a served log are compared.
        models: feature to the models that were trained on it.
        skipped: what was left out, and why.
        point: what was compared: ``served``, ``online`` or both.
        day: of the newest profile that was compared: ``2026-01-31``.
    """

    of: str
    at: int
    findings: tuple[Finding, ...]
    mixes: tuple[Mix, ...] = ()
    models: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    point: str = ""
    day: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing drifted."""
        return not self.alerts

    @property
    def alerts(self) -> tuple[Finding, ...]:
        """The findings that need somebody."""
        return tuple(each for each in self.findings if each.level)

    @property
    def too_few(self) -> tuple[Finding, ...]:
        """The tests that too few entities allow nothing to be said of."""
        return tuple(each for each in self.findings if each.too_few)

    def of_test(self, test: str) -> tuple[Finding, ...]:
        """Return the findings of one test: ``KS``, ``chi-square`` or ``two proportions``."""
        return tuple(each for each in self.findings if each.test == test)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        findings = [
            each.to_dict() | {"models": list(self.models.get(each.of, ()))}
            for each in self.findings
        ]
        return {
            "of": self.of, "at": iso(self.at), "ok": self.ok, "point": self.point,
            "day": self.day, "tests": len(self.findings) - len(self.too_few),
            "findings": findings, "mixes": [each.to_dict() for each in self.mixes],
            "skipped": list(self.skipped),
        }  # fmt: skip

    def alert_text(self, finding: Finding) -> str:
        """Return what is said to whoever is woken: effect, entities, p, reference, models."""
        models = self.models.get(finding.of, ())
        hit = f"; models: {', '.join(models)}" if models else ""
        return f"{finding}{hit}"

    def __str__(self) -> str:
        if not self.findings:
            return "\n".join(["Nothing to compare.", *self.skipped])
        lines = [self._title(), *(f"  {mix}" for mix in self.mixes)]
        rows = self._rows()
        lines += ["", aligned([_HEAD, *rows], indent=2)]
        if len(self.findings) > len(rows):
            lines.append(f"  ... and {len(self.findings) - len(rows):,} tests more")
        lines += [f"! {self.alert_text(each)}" for each in self.alerts[:10]]
        return "\n".join([*lines, *self.skipped])

    def _repr_html_(self) -> str:
        rows = [
            [row[0], (row[1], _COLOURS.get(each.level, "")), *row[2:]]
            for row, each in zip(self._rows(), self.findings, strict=False)
        ]
        mixes = "".join(html_table((), (), str(mix)) for mix in self.mixes)
        return mixes + html_table(_HEAD, rows, self._title())

    def _title(self) -> str:
        tests = len(self.findings) - len(self.too_few)
        features = len({each.of for each in self.findings})
        said = f"{len(self.alerts)} of {count_of(tests, 'test')} say drift"
        few = f"; too few entities for {len(self.too_few):,} more" if self.too_few else ""
        return f"{count_of(features, 'feature')} {self.point} on {self.day}: {said}{few}"

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (
                each.of,
                _SIGNS[each.level] or ("too few" if each.too_few else ""),
                each.what,
                f"{each.measure} {each.effect:.3f}",
                "-" if each.adjusted is None else f"{each.adjusted:.2g}",
                f"{each.n:,}",
                f"{each.m:,}",
                "" if each.could_show is None else f"D {each.could_show:.3f}",
                each.reference,
                _beside(each),
            )
            for each in self.findings[:_SHOWN]
        ]


def _beside(finding: Finding) -> str:
    found = finding.beside
    said = []
    if "psi" in found:
        said.append(f"PSI {found['psi']:.2f} (noise {found['psi_noise']:.2f})")
    for key, name in (("wasserstein_sd", "W/sd"), ("median_shift_mads", "median"), ("js", "JS")):
        if key in found:
            unit = " MADs" if key == "median_shift_mads" else ""
            said.append(f"{name} {found[key]:{'+' if unit else ''}.2f}{unit}")
    if finding.new:
        said.append("new: " + ", ".join(f"{value} ({share:.1%})" for value, share in finding.new))
    return ", ".join(said)

"""What a repo is worth in a year: each line with its figures, and where each comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from skewless.formatting import Drawn
from skewless.value.assumptions import Assumptions
from skewless.value.measures import Measure


@dataclass(frozen=True)
class ValueLine:
    """One thing that is worth something.

    Attributes:
        what: it is.
        money: its worth; None where a figure is missing.
        formula: how that comes about, with the figures.
        sources: where each figure comes from: measured by what, assumed where.
        missing: figures that were neither measured nor assumed.
    """

    what: str
    money: float | None
    formula: str
    sources: tuple[str, ...]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Formula:
    what: str
    factors: tuple[str, ...]
    scale: float = 1.0
    less: str = ""
    """A figure that is taken off the last factor, where that is larger."""


_FORMULAS = (
    _Formula(
        "features that were not built again",
        ("reuses", "people.hours_for_a_feature", "people.cost_of_an_hour"),
    ),
    _Formula(
        "training sets that were not joined by hand",
        ("training_sets", "people.hours_for_a_training_set", "people.cost_of_an_hour"),
    ),
    _Formula(
        "errors that point-in-time joins avoid, a year",
        ("auc_gained", "errors.a_year_for_a_point_of_auc"),
        scale=100,  # a point is a hundredth
    ),
    _Formula(
        "machine time of serving, a year",
        ("serving.vectors_a_year", "serving.cost_of_a_machine_hour", "serving.milliseconds_before"),
        scale=1 / 3_600_000,  # milliseconds of an hour
        less="vector_ms",
    ),
)


@dataclass(frozen=True)
class ValueReport(Drawn):
    """What a repo is worth.

    Attributes:
        lines: what is worth something.
        measured: every measured figure.
        assumed: what was assumed.
    """

    lines: tuple[ValueLine, ...]
    measured: tuple[Measure, ...]
    assumed: Assumptions

    @property
    def total(self) -> float:
        """The sum of the lines that have all their figures."""
        return sum(line.money for line in self.lines if line.money is not None)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {
            "currency": self.assumed.currency,
            "total": self.total,
            "lines": [vars(line) for line in self.lines],
            "measured": [vars(measure) for measure in self.measured],
            "assumed": {"file": self.assumed.file, **self.assumed.figures},
        }

    def __str__(self) -> str:
        blocks = [f"{self._money(self.total)} in all: what is measured, times what"
                  f" {self.assumed.file} assumes"]  # fmt: skip
        for line in self.lines:
            head = "not counted" if line.money is None else self._money(line.money)
            rows = [f"{head}  {line.what}", f"    = {line.formula}"]
            rows += [f"    {source}" for source in line.sources]
            rows += [f"    missing: {name}" for name in line.missing]
            blocks.append("\n".join(rows))
        rows = [f"    {_number(m.value)} {m.what} ({m.source})" for m in self.measured]
        blocks.append("\n".join(["Measured", *rows]))
        return "\n\n".join(blocks)

    def to_html(self) -> str:
        """Return the report as a page of its own."""
        rows = []
        for line in self.lines:
            money = "not counted" if line.money is None else self._money(line.money)
            said = [*line.sources, *(f"missing: {name}" for name in line.missing)]
            listed = "".join(f"<li>{escape(text)}</li>" for text in said)
            rows.append(
                f"<tr><td class='money'>{escape(money)}</td><td>"
                f"<strong>{escape(line.what)}</strong><br>"
                f"<code>{escape(line.formula)}</code><ul>{listed}</ul></td></tr>"
            )
        measured = [
            f"<tr><td class='money'>{_number(m.value)}</td><td>{escape(m.what)}"
            f"<ul><li>{escape(m.source)}</li></ul></td></tr>"
            for m in self.measured
        ]
        return _PAGE.format(
            total=escape(self._money(self.total)), file=escape(self.assumed.file),
            lines="".join(rows), measured="".join(measured),
        )  # fmt: skip

    def _money(self, value: float) -> str:
        return f"{value:,.0f} {self.assumed.currency}".strip()


def report_of(measured: Sequence[Measure], assumed: Assumptions) -> ValueReport:
    """Return what measured figures are worth under what is assumed."""
    by_name = {measure.name: measure for measure in measured}
    lines = tuple(_line(formula, by_name, assumed) for formula in _FORMULAS)
    return ValueReport(lines, tuple(measured), assumed)


def _line(formula: _Formula, by_name: Mapping[str, Measure], assumed: Assumptions) -> ValueLine:
    values, sources, missing = {}, [], []
    for name in (*formula.factors, formula.less):
        if not name:
            continue
        measure = by_name.get(name)
        value = measure.value if measure is not None else assumed.figures.get(name)
        source = measure.source if measure is not None else f"assumed in {assumed.file}"
        if value is None:
            missing.append(f"{name} ({source if measure is not None else assumed.file})")
            continue
        values[name] = value
        sources.append(f"{name} {_number(value)}: {source}")
    texts = list(formula.factors)
    if formula.less:
        texts[-1] = f"({texts[-1]} - {formula.less})"
    if formula.scale != 1:
        texts.append(f"{formula.scale:g}" if formula.scale >= 1 else f"1/{1 / formula.scale:.0f}")
    text = " x ".join(texts)
    if missing:
        return ValueLine(formula.what, None, text, tuple(sources), tuple(missing))
    *first, last = (values[name] for name in formula.factors)
    money = formula.scale * (last - values.get(formula.less, 0.0))
    for value in first:
        money *= value
    return ValueLine(formula.what, money, text, tuple(sources))


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value == int(value) else f"{value:,.4g}"


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>What the feature store is worth</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #1f2933; background: #fff;
       max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; width: 100%; }}
td {{ vertical-align: top; border-top: 1px solid #d5dbe1; padding: .6rem .8rem; }}
td.money {{ text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }}
ul {{ margin: .3rem 0 0; padding-left: 1.2rem; color: #52606d; font-size: .9rem; }}
code {{ font-size: .85rem; }}
</style></head><body>
<h1>{total}</h1>
<p>What is measured of the repo, times what <code>{file}</code> assumes.</p>
<table>{lines}</table>
<h2>Measured</h2>
<table>{measured}</table>
</body></html>
"""

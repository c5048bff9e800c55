"""Markdown tables of results: a summary to quote, then every benchmark with all contenders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from benchmarks.harness import Figures, measured


def tables(results: Figures) -> str:
    """Return all tables of a run."""
    machine = results["machine"]
    lines = [
        f"Measured {machine['at'][:10]} on {machine['cores']} cores of {machine['cpu']}, "
        f"{machine['memory_gb']} GB, Python {machine['python']}, size `{results['size']}`, "
        f"median of {results['repeats']} runs; all data is synthetic.",
        "",
        *summary(results["benchmarks"]),
    ]
    for name, result in results["benchmarks"].items():
        lines += ["", *details(name, result)]
    return "\n".join(lines)


def summary(benchmarks: Mapping[str, Figures]) -> list[str]:
    """Return one table over all benchmarks; a ratio above 1 means that skewless is better."""
    found = [line for name, result in benchmarks.items() for line in module(name).summary(result)]
    rows = [
        [what, cell(own), peer, cell(theirs), "" if times is None else f"{times:.3g}x"]
        for what, own, peer, theirs, times in found
    ]
    return table(["measured", "skewless", "beside", "", "ratio"], rows)


def details(name: str, result: Figures) -> list[str]:
    """Return the tables of one benchmark with all its contenders."""
    if "needs" in next(iter(result.values()), ()):
        return list(module(name).details(result))
    headings = module(name).HEADINGS
    lines = one(result, headings)
    for part in result.get("parts", []):
        lines += ["", *one(part, headings)]
    if "memory" in result:
        lines += ["", *one(result["memory"], headings)]
    if "linearity" in result:
        growing = {"cpu_s": "CPU s", "cpu_s_per_million": "CPU s per million events"}
        lines += ["", *one(result["linearity"], {**growing, "peak_mb": "peak MB"})]
    if "hot_key" in result:
        busy = {"cpu_s": "CPU s", "wall_s": "wall s", "cores": "cores kept busy"}
        lines += ["", *one(result["hot_key"], busy)]
    if "windowed" in result:
        lines += ["", *one(result["windowed"], module(name).WINDOWED)]
    return lines


def one(result: Figures, headings: Mapping[str, str]) -> list[str]:
    """Return the title and the table of some contenders."""
    rows = []
    for figures in result["contenders"]:
        name = figures["name"] + (f" ({figures['about']})" if "about" in figures else "")
        if measured(figures):
            rows.append([name, *(cell(figures.get(key)) for key in headings)])
        else:
            rows.append([name, reason(figures), *[""] * (len(headings) - 1)])
    return [f"### {result['title']}", "", *table(["", *headings.values()], rows)]


def reason(figures: Figures) -> str:
    """Return why a contender has no figures."""
    if "gave_up_s" in figures:
        return f"not done in {figures['gave_up_s']:.0f} s"
    return f"skipped: {figures['skipped']}" if "skipped" in figures else "failed"


def cell(value: Any) -> str:
    """Return a figure as text."""
    if value is None:
        return ""
    if isinstance(value, dict):
        return f"{value['p50_us']:.4g} / {value['p99_us']:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.1f}" if value >= 100 else f"{value:.3g}"


def table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Return a markdown table; the first and every textual column to the left."""
    right = ["---:" if _numeric(rows, at) else "---" for at in range(len(headings))]
    lines = [f"| {' | '.join(headings)} |", f"| {' | '.join(right)} |"]
    return lines + [f"| {' | '.join(map(str, row))} |" for row in rows]


def _numeric(rows: Sequence[Sequence[Any]], at: int) -> bool:
    texts = [str(row[at]) for row in rows if row[at] != ""]
    return bool(texts) and all(text[0].isdigit() for text in texts)


def module(name: str) -> Any:
    """Return the module of a benchmark."""
    return import_module(f"benchmarks.{name}")

"""The demo's picture: a storm day, what leakage promises and keeps, and served against trained."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from skewless.demo.data import NEW_YORK

if TYPE_CHECKING:
    from skewless.demo.live import Day
    from skewless.demo.storm import Storm
    from skewless.plan.results import TrainingSet
    from skewless.training.backtest import BacktestReport

INK, FAINT, GRID = "#1f2933", "#7b8794", "#e4e7eb"
KNOWN, LEAK, DOT = "#0b7285", "#e8590c", "#b8c1cc"
_NAMES = {
    "event_time": "joined by event time",
    "known": "joined as known",
    "naive-latest": "newest values, joined by key",
}
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans", "font.size": 10.5, "text.color": INK, "axes.labelcolor": INK,
    "axes.edgecolor": GRID, "xtick.color": FAINT, "ytick.color": FAINT, "axes.grid": True,
    "grid.color": GRID, "axes.axisbelow": True, "axes.spines.top": False,
    "axes.spines.right": False, "axes.titlesize": 12.5, "axes.titleweight": "bold",
}  # fmt: skip
_LIVE = "carrier_last_20"
_LEFT = 0.45
_HALO = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1.5}


def draw(
    path: Path, storm: Storm, backtest: BacktestReport, day: Day, training: TrainingSet
) -> None:
    """Draw the picture into a PNG file."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with mpl.rc_context(_STYLE):
        space = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12, hspace=0.06, wspace=0.05)
        figure = Figure(figsize=(13, 8.8), facecolor="white", layout=space)
        FigureCanvasAgg(figure)
        axes = figure.subplot_mosaic(
            [["storm", "storm"], ["leak", "live"]], height_ratios=[1.2, 1], width_ratios=[1, 1.2]
        )
        _storm(axes["storm"], storm)
        _leak(axes["leak"], backtest)
        _live(axes["live"], day, training)
        figure.savefig(path, dpi=130)


def _storm(ax: Any, storm: Storm) -> None:
    left = storm.flights.to_pydict()
    known, event = _numbers(storm.as_known), _numbers(storm.by_event_time)
    ax.scatter(left["scheduled_at"], left["dep_delay"], s=16, color=DOT, linewidths=0)
    ax.fill_between(storm.moments, known, event, color=LEAK, alpha=0.13, linewidth=0)
    ax.plot(storm.moments, event, color=LEAK, lw=1.8, ls=(0, (4, 2)))
    ax.plot(storm.moments, known, color=KNOWN, lw=2.6)
    flying = [t for t, value in zip(storm.moments, event, strict=True) if not math.isnan(value)]
    top = sorted(left["dep_delay"])[int(len(left["dep_delay"]) * 0.985)]
    ax.set_xlim(min(left["scheduled_at"]) - timedelta(hours=2), max(flying))
    ax.set_ylim(min(left["dep_delay"]) - 8, top * 1.1)
    _title(
        ax,
        f"A storm as it was known, and with hindsight: {storm.title}",
        "Departure delay of the airport over the last three hours, minutes. A dot is a flight, at"
        " the time it was due to leave. The shaded gap is knowledge that only came later.",
    )
    _hours(ax)
    at = max(range(len(event)), key=lambda i: event[i] - known[i] if event[i] > known[i] else 0)
    gap = ax.get_ylim()[1] * 0.02
    for height, color, align, text in (
        (event[at] + gap, LEAK, "bottom", "by event time: sees delays of flights yet to leave"),
        (known[at] - gap, KNOWN, "top", "as known: what training and serving get"),
    ):
        ax.text(storm.moments[at], height, text, color=color, va=align, fontweight="bold",
                bbox=_HALO)  # fmt: skip


def _leak(ax: Any, backtest: BacktestReport) -> None:
    for place, (kind, name) in enumerate(reversed(_NAMES.items())):
        score = backtest.score(kind)
        promised, served = score.promised["AUC"], score.served["AUC"]
        color = KNOWN if kind == "known" else LEAK
        ax.plot([promised, served], [place] * 2, color=color, lw=6, alpha=0.25,
                solid_capstyle="round")  # fmt: skip
        ax.scatter([promised], [place], s=110, facecolor="white", edgecolor=color, lw=2, zorder=3)
        ax.scatter([served], [place], s=110, color=color, zorder=4)
        ax.text(_LEFT, place + 0.2, name, va="bottom", color=INK)
        if abs(promised - served) > 0.1:
            ax.text(promised, place - 0.2, f"{promised:.2f}", ha="center", va="top", color=color)
            ax.text(served, place - 0.2, f"{served:.2f}", ha="center", va="top",
                    fontweight="bold", color=color)  # fmt: skip
        else:
            text = f"{served:.2f}" if kind == "known" else f"{promised:.2f}, served {served:.2f}"
            ax.text(max(promised, served) + 0.022, place, text, va="center", color=color,
                    fontweight="bold" if kind == "known" else "normal")  # fmt: skip
    _title(
        ax,
        "What a join promises, and what it keeps",
        "AUC of one delay model on a later holdout. Ring: evaluated offline. Dot: served.",
    )
    ax.set(xlim=(_LEFT - 0.005, 1.03), ylim=(-0.5, 2.6), yticks=[])
    ax.grid(axis="y", visible=False)
    ax.spines["left"].set_visible(False)
    ax.tick_params(length=0)


def _live(ax: Any, day: Day, training: TrainingSet) -> None:
    """Draw a feature of the busiest carrier: a line from training, dots from serving."""
    import pyarrow as pa
    import pyarrow.compute as pc

    carriers = [flight["carrier"] for flight in day.flights]
    busiest = max(sorted(set(carriers)), key=carriers.count)
    mine = [at for at, carrier in enumerate(carriers) if carrier == busiest]
    table = training.to_arrow()
    ids = pa.array([day.flights[at]["flight_id"] for at in mine])
    trained = table[_LIVE].take(pc.index_in(ids, value_set=table["flight_id"])).to_pylist()
    times = [day.flights[at]["scheduled_at"] for at in mine]
    served = [day.served[at][_LIVE] for at in mine]
    ax.step(times, trained, where="post", color=KNOWN, lw=1.6, label="training set")
    ax.scatter(times, served, s=20, color=INK, zorder=3, label="served that day")
    _title(
        ax,
        f"Served is trained: {busiest}, {times[0]:%-d %B %Y}",
        f"Mean arrival delay of the carrier's last 20 flights, minutes, at {len(mine)} departures.",
    )
    _hours(ax)
    ax.legend(loc="best", frameon=False, fontsize=10)


def _title(ax: Any, title: str, below: str) -> None:
    ax.set_title(title, loc="left", pad=24)
    ax.text(0, 1.03, below, transform=ax.transAxes, color=FAINT, fontsize=10)


def _hours(ax: Any) -> None:
    import matplotlib.dates

    dates: Any = matplotlib.dates
    zone = ZoneInfo(NEW_YORK)
    ax.xaxis.set_major_locator(dates.HourLocator(byhour=range(0, 24, 3), tz=zone))
    ax.xaxis.set_major_formatter(dates.DateFormatter("%H:%M", tz=zone))
    ax.tick_params(length=0)


def _numbers(values: list[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]

"""Templates and how they write numbers, times and addresses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any
from urllib.parse import quote, urlencode

import jinja2
from markupsafe import Markup, escape

from skewless.clock import from_micros
from skewless.durations import format_duration
from skewless.formatting import ago, plural, shown
from skewless.monitoring.snippets import text_of
from skewless.ui.charts.bars import age_bar, day_strip, run_bars
from skewless.ui.charts.distribution import distribution, sparkline
from skewless.ui.charts.ecdf import draw_ecdf
from skewless.ui.charts.timeline import mark_of, timeline
from skewless.ui.page import Page
from skewless.ui.site import Site

SECTIONS = (
    ("home", "/", "Home"),
    ("search", "/search", "Features"),
    ("explore", "/explore", "Explore an entity"),
    ("replay", "/replay", "Replay a request"),
    ("views", "/views", "Views"),
    ("services", "/services", "Services"),
    ("entities", "/entities", "Entities"),
    ("sources", "/sources", "Sources"),
    ("lineage", "/lineage", "Lineage"),
    ("freshness", "/freshness", "Freshness"),
    ("drift", "/drift", "Drift"),
    ("quality", "/quality", "Quality"),
    ("alerts", "/alerts", "Alerts"),
    ("cost", "/cost", "Cost"),
    ("jobs", "/jobs", "Jobs"),
    ("runs", "/runs", "Runs"),
    ("training sets", "/training-sets", "Training sets"),
    ("changes", "/changes", "Changes"),
    ("acts", "/acts", "Acts"),
)
"""The navigation: section, address, words."""
STATUSES = {
    "present": ("good", "●"), "ok": ("good", "●"), "counted": ("good", "●"),
    "null": ("quiet", "○"), "empty": ("quiet", "○"), "masked": ("quiet", "◌"),
    "unknown": ("warn", "?"), "never": ("warn", "?"), "building": ("busy", "◐"),
    "done": ("good", "●"), "running": ("busy", "◐"), "failed": ("bad", "▲"),
    "killed": ("bad", "▲"), "interrupted": ("warn", "◆"),
    "expired": ("late", "◷"), "stale": ("bad", "▲"), "deprecated": ("late", "▽"),
    "bad": ("bad", "▲"), "warn": ("warn", "◆"), "info": ("quiet", "·"),
}  # fmt: skip
"""Status to the class of its colour and its sign, so that colour is not alone."""


def make_environment(token: str) -> jinja2.Environment:
    """Return what templates are rendered with; every value in them is escaped.

    Args:
        token: what forms that change something carry: who cannot read pages does not know it.
    """
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("skewless.ui"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {
        "address": address, "age_bar": age_bar, "chip": chip, "day_strip": day_strip,
        "draw_distribution": distribution, "draw_ecdf": draw_ecdf, "draw_timeline": timeline,
        "key_parameters": key_parameters, "mark_of": mark_of, "sections": SECTIONS,
        "run_bars": run_bars, "sparkline": sparkline, "token": token,
    }  # fmt: skip
    made.filters |= {
        "ago": ago, "brief": brief, "count": count, "duration": format_duration,
        "formula": formula, "iso_text": iso_text, "minute": minute, "number": number,
        "plain": shown, "plural": plural, "when": when,
    }  # fmt: skip
    return made


def render(environment: jinja2.Environment, page: Page, site: Site, fragment: bool) -> str:
    """Return a page as HTML.

    Args:
        environment: see `make_environment`.
        page: what is shown.
        site: for the frame around it.
        fragment: whether the page is to be put into another one: then without the frame.
    """
    about = {
        "title": page.title,
        "section": page.section,
        "project": site.store.config.project,
        "folder": str(site.store.config.folder.absolute()),
        "revision": site.state.revision,
        "now": site.now(),
        "version": version("skewless"),
        "query": page.data.get("query", "") if page.section == "search" else "",
    }
    frame = "fragment.html" if fragment else "frame.html"
    template = environment.get_template(page.template)
    return template.render({**page.data, **page.shown, "about": about, "frame": frame})


def address(*parts: str, **query: Any) -> str:
    """Return an address of the catalogue.

    >>> address("features", "Spend@v1:total", at="2026-01-01T00:00:00Z")
    '/features/Spend@v1:total?at=2026-01-01T00:00:00Z'
    """
    path = "".join(f"/{quote(part, safe='@:')}" for part in parts) or "/"
    asked = {key: value for key, value in query.items() if value not in (None, "")}
    return f"{path}?{urlencode(asked, safe=':@')}" if asked else path


def chip(status: str, text: str = "") -> Markup:
    """Return a status as a word with its sign, in its colour."""
    css, sign = STATUSES.get(status, ("quiet", "·"))
    return Markup('<span class="chip {}"><span aria-hidden="true">{}</span> {}</span>').format(
        css, sign, text or status
    )


def number(value: Any) -> Markup:
    """Return a value for a cell of a table: numbers short, and whole where one points at them."""
    if value is None:
        return Markup('<span class="none">null</span>')
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        text = shown(value)
        return Markup('<span class="text">{}</span>').format(text)
    if isinstance(value, int):
        return Markup(escape(f"{value:,}" if abs(value) >= 10_000 else value))  # 2013 is a year
    if not math.isfinite(value):
        return Markup(escape(str(value)))
    short = f"{value:,.4f}".rstrip("0").rstrip(".") if 1e-3 <= abs(value) < 1e9 else f"{value:.6g}"
    return Markup('<span title="{}">{}</span>').format(repr(value), short or "0")


def brief(value: Any) -> str:
    """Return plain data as a few words.

    >>> brief(["Spend", "Visits"]), brief(list(range(9))), brief({"rows": 3, "of": "pays"})
    ('Spend, Visits', '9 of them', 'rows 3, of pays')
    """
    if isinstance(value, list):
        few = len(value) <= 3 and all(isinstance(each, (str, int, float)) for each in value)
        return ", ".join(map(shown, value)) if few else f"{len(value):,} of them"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {shown(each)}" for name, each in value.items())
    return shown(value)


def count(many: int, noun: str) -> str:
    """Return how many: ``1 view``, ``2 views``, ``1,000 entities``."""
    return f"{many:,} {noun if many == 1 else plural(noun)}"


def when(micros: int | None) -> str:
    """Return a moment to the second, as ISO 8601 with a blank."""
    return "-" if micros is None else f"{from_micros(micros):%Y-%m-%d %H:%M:%S}"


def minute(micros: int) -> str:
    """Return a moment to the minute."""
    return f"{from_micros(micros):%Y-%m-%d %H:%M} UTC"


def formula(text: str) -> str:
    """Return what a feature computes without the brackets and the type around it.

    >>> formula("(max of pays.amount over 1h / count of pays over 1h): Float64")
    'max of pays.amount over 1h / count of pays over 1h'
    >>> formula("mean of pays.amount over sliding 1h")
    'mean of pays.amount over sliding 1h'
    """
    inside, colon, _ = text.rpartition("): ")
    return inside[1:] if colon and text.startswith("(") else text


def iso_text(micros: int) -> str:
    """Return a moment to the second, as a form takes it."""
    return f"{from_micros(micros):%Y-%m-%dT%H:%M:%SZ}"


def key_parameters(key: Mapping[str, Any]) -> dict[str, str]:
    """Return the join keys of an entity as the explorer asks for them.

    >>> key_parameters({"card_id": 7, "vip": True})
    {'key.card_id': '7', 'key.vip': 'true'}
    """
    return {f"key.{name}": text_of(value) for name, value in key.items()}

"""Loans of which some default: payments known late, a source that carries the label itself."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

import skewless as sl

START = datetime(2026, 1, 1, tzinfo=UTC)
STAMP = pa.timestamp("us", "UTC")


def rows_of(count, seed=7):
    """Loans of fifty clients whose risk wanders; each is reported hours after it happened."""
    rng = np.random.default_rng(seed)
    risk = rng.normal(size=50)
    rows = []
    for number in range(count):
        client = int(rng.integers(50))
        risk[client] += rng.normal() * 0.5
        at = START + timedelta(minutes=5 * number)
        rows.append({
            "client": f"c{client}",
            "debt": float(risk[client] + rng.normal() * 0.3),
            "lost": float(rng.random() < 1 / (1 + np.exp(-2 * risk[client]))),
            "at": at,
            "seen": at + timedelta(hours=float(rng.exponential(5))),
        })  # fmt: skip
    return rows


def table_of(rows):
    return pa.table(
        {
            name: pa.array([row[name] for row in rows], STAMP if name in ("at", "seen") else None)
            for name in rows[0]
        }
    )


def loans_of(table, **options):
    schema = {"client": str, "debt": float, "lost": float}
    options = {"known_time": "seen"} | options
    return sl.Source("loans", schema=schema, event_time="at", table=sl.Frame(table), **options)


CLIENT = sl.Entity("client", client=str)


def view_of(loans):
    return sl.FeatureView(
        "Client",
        entity=CLIENT,
        source=loans,
        features={
            "debt_now": loans.debt.latest(),
            "debt_week": loans.debt.mean("7d"),
            "losses": loans.lost.sum("2d"),
            "losses_before": loans.lost.sum("2d", offset="1s"),
        },
    )


def recent_of(loans):
    """A view whose newest row, by event time, is the label itself."""
    return sl.FeatureView(
        "Recent",
        entity=CLIENT,
        source=loans,
        features={"lost": loans.lost.latest(), "lost_5": loans.lost.mean(last=5)},
    )


def spine_of(rows):
    """The loans as training rows: to be predicted when they happen."""
    return pa.table(
        {
            "client": [row["client"] for row in rows],
            "at": pa.array([row["at"] for row in rows], STAMP),
            "defaulted": [row["lost"] == 1.0 for row in rows],
        }
    )

"""SYNTHETIC accounts, loans and credit reports, made up by a random generator; no bank was asked.

made = history(end, customers=300, days=420)
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

Row = dict[str, Any]
KINDS = ("salary", "rent", "food", "travel", "games", "cash", "savings", "debt")
SERIES = ("cpi", "unemployment")
DAY = timedelta(days=1)


@dataclass
class Made:
    """Rows of the tables, and the applications for loans: the spine, in order of time."""

    transactions: list[Row] = field(default_factory=list)
    instalments: list[Row] = field(default_factory=list)
    reports: list[Row] = field(default_factory=list)
    macro: list[Row] = field(default_factory=list)
    applications: list[Row] = field(default_factory=list)


def history(end: datetime, customers: int, days: int, seed: int = 31) -> Made:
    """Return what was known of customers before `end`.

    Credit reports and macro figures are revised later: the report of one who did not pay is
    corrected half a year after the loan was asked for. Whoever joins by key learns from that.
    """
    rng, made, start = random.Random(seed), Made(), end - timedelta(days=days)
    for number in range(customers):
        Customer(rng, made, f"k{number:04}", start, end).live()
    macro(rng, made, start, end)
    made.applications.sort(key=lambda each: each["asked_at"])
    return made


@dataclass
class Customer:
    """A customer whose means go down at some time, or do not."""

    rng: random.Random
    made: Made
    key: str
    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        self.income, self.thrift = self.rng.lognormvariate(8.0, 0.35), self.rng.gauss(0, 1)
        self.trouble = self.start + timedelta(days=self.rng.uniform(90, 700))

    def live(self) -> None:
        """Add everything that is known of the customer."""
        for days in range(0, (self.end - self.start).days, 30):
            self.month(self.start + days * DAY)
        for number, days in enumerate(range(0, (self.end - self.start).days, 90)):
            self.report(f"{self.key}-{number}", self.start + timedelta(days=days, hours=6))
        asks = [self.rng.uniform(200, 415) for _ in range(self.rng.randint(1, 4))]
        for after in sorted(asks):
            self.ask(self.start + timedelta(days=after))

    def month(self, at: datetime) -> None:
        """Add the transactions of a month, and the instalment that was due."""
        rng, poor = self.rng, at > self.trouble
        income = self.income * (0.6 if poor else 1)
        spent = [("rent", 0.3, 1), ("food", 0.03, 8), ("travel", 0.04, 2), ("cash", 0.03, 2)]
        spent += [("savings", 0.1, 1)] if self.thrift > 0 else [("games", 0.03, 4)]
        spent += [("debt", 0.15, 2)] if poor else []
        moves = [("salary", income, timedelta(hours=8))]
        moves += [(kind, -share * income * rng.lognormvariate(0, 0.4), rng.random() * 29 * DAY)
                  for kind, share, times in spent for _ in range(times)]  # fmt: skip
        self.made.transactions += [
            {"customer_id": self.key, "kind": kind, "amount": round(amount, 2),
             "paid_at": at + after,
             "booked_at": at + after + timedelta(hours=rng.choice((1, 2, 30)))}
            for kind, amount, after in moves
        ]  # fmt: skip
        late = max(0, round(rng.gauss(14 if poor else 0, 4) - 2 * self.thrift))
        due, paid = at + 15 * DAY, rng.choice((0.05, 0.05, 0.03))
        self.made.instalments.append({
            "customer_id": self.key, "loan": f"{self.key}-1", "due": round(income * 0.05, 2),
            "paid": round(income * paid, 2), "days_late": late, "due_at": due,
            "paid_at": due + max(late, 1) * DAY,
        })  # fmt: skip

    def report(self, report_id: str, at: datetime) -> None:
        """Add a quarter's report of the credit agency."""
        rng, poor = self.rng, at > self.trouble
        score = 620 + 40 * self.thrift - 60 * poor + rng.gauss(0, 50)
        self.made.reports.append({
            "customer_id": self.key, "report_id": report_id, "score": round(score, 1),
            "open_debts": rng.randint(0, 4), "inquiries": rng.randint(0, 3) + 2 * poor,
            "reported_at": at, "received_at": at + 2 * DAY,
        })  # fmt: skip

    def ask(self, at: datetime) -> None:
        """Add an application; where it is not paid back, the newest report is revised later."""
        rng, known = self.rng, at + 14 * DAY
        amount = round(self.income * rng.uniform(0.5, 8), -2)
        poor = at > self.trouble
        strain = amount / self.income / 4 - self.thrift + 2.5 * poor + rng.gauss(0, 0.8)
        self.made.applications.append({
            "customer_id": self.key, "asked_at": at, "amount": amount,
            "months": rng.choice((12, 24, 36, 60)), "defaulted": strain > 2.2,
        })  # fmt: skip
        if strain > 2.2 and known < self.end:
            revised = {"score": 300.0, "open_debts": 9, "received_at": known}
            self.made.reports.append(self.made.reports[-1] | revised)


def macro(rng: random.Random, made: Made, start: datetime, end: datetime) -> None:
    """Add monthly series, published a fortnight after the month and revised a quarter later."""
    for series, level in zip(SERIES, (2.0, 5.0), strict=True):
        now = level
        for days in range(0, (end - start).days, 30):
            now += rng.gauss(0, 0.15)
            month = start + timedelta(days=days)
            row = {"series": series, "month": f"{month:%Y-%m-%d}"}
            for value, known in published(rng, now, month):
                made.macro.append(row | {"value": value, "month_end": month, "published_at": known})


def published(
    rng: random.Random, level: float, month: datetime
) -> Iterator[tuple[float, datetime]]:
    """Yield a figure as first published, and as revised."""
    yield round(level, 2), month + 14 * DAY
    yield round(level + rng.gauss(0, 0.1), 2), month + 100 * DAY


def asked_today(made: Made, now: datetime, many: int, seed: int = 32) -> list[Row]:
    """Return applications of today, each with the moment it is asked at."""
    rng = random.Random(seed)
    keys = sorted({each["customer_id"] for each in made.applications})
    return [
        {"customer_id": rng.choice(keys), "amount": float(rng.randrange(1_000, 20_000, 500)),
         "months": rng.choice((12, 24, 36)), "asked_at": now + timedelta(minutes=number)}
        for number in range(many)
    ]  # fmt: skip

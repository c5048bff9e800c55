"""What is known of a customer who asks for a loan: more than 200 features, made by functions."""

import skewless as sl

customer = sl.Entity("customer", customer_id=str)
series = sl.Entity("series", series=str)

transactions = sl.Source(
    "transactions",
    schema={
        "customer_id": sl.Column(str, "the customer", pii="quasi"),
        "kind": sl.Column(str, "what it was for, by the bank's classifier"),
        "amount": sl.Column(float, "in is positive, out negative", unit="EUR", pii="sensitive"),
    },
    event_time="paid_at",
    known_time="booked_at",
    table=sl.Parquet("data/transactions/"),
)
instalments = sl.Source(
    "instalments",
    schema={
        "customer_id": str,
        "loan": str,
        "due": sl.Column(float, "what was to be paid", unit="EUR"),
        "paid": sl.Column(float, "what was paid", unit="EUR"),
        "days_late": sl.Column(int, "days between due and paid", unit="d"),
    },
    event_time="due_at",
    known_time="paid_at",  # how late it was is known when it is paid
    table=sl.Parquet("data/instalments/"),
)
reports = sl.Source(
    "reports",
    schema={
        "customer_id": str,
        "report_id": str,
        "score": sl.Column(float, "of the credit agency", between=(300, 900)),
        "open_debts": int,
        "inquiries": sl.Column(int, "by other lenders, of the quarter"),
    },
    event_time="reported_at",
    known_time="received_at",
    row_id="report_id",  # a revised report corrects the first
    table=sl.Parquet("data/reports/"),
)
macro = sl.Source(
    "macro",
    schema={"series": str, "month": str, "value": float},
    event_time="month_end",
    known_time="published_at",
    row_id=("series", "month"),
    table=sl.Parquet("data/macro/"),
)

KINDS = ("salary", "rent", "food", "travel", "games", "cash", "savings", "debt")
LONG = ("30d", "90d", "180d", "365d")


def of_kind(kind):
    """Features of the transactions of one kind: 4 windows by 5 aggregations."""
    rows = transactions.where(transactions.kind == kind)
    return {
        f"{kind}_sum": rows.amount.sum(*LONG),
        f"{kind}_count": rows.count(*LONG),
        f"{kind}_mean": rows.amount.mean(*LONG),
        f"{kind}_std": rows.amount.std(*LONG),
        f"{kind}_min": rows.amount.min(*LONG),
    }


spending = sl.FeatureView(
    "Spending",
    entity=customer,
    source=transactions,
    owner="credit-risk",
    features={name: made for kind in KINDS for name, made in of_kind(kind).items()},
    description="What a customer earns and spends, by kind: 160 features.",
)


@sl.feature_view(entity=customer, source=transactions, owner="credit-risk")
class Account:
    """How the account moves."""

    net = transactions.amount.sum(*LONG)
    moves = transactions.count(*LONG)
    largest = transactions.amount.max(*LONG)
    smallest = transactions.amount.min(*LONG)
    spread = transactions.amount.std(*LONG)
    income_trend = transactions.where(transactions.kind == "salary").amount.trend(last=12, recent=3)
    quiet_for = transactions.since_last()
    known_for = transactions.since_first()
    kinds = transactions.kind.n_unique(*LONG)


@sl.feature_view(entity=customer, source=instalments, owner="credit-risk")
class Repayment:
    """How loans of before are paid."""

    days_late_mean = instalments.days_late.mean(*LONG)
    days_late_max = instalments.days_late.max(*LONG)
    late = instalments.where(instalments.days_late > 5).count(*LONG)
    in_a_row = (instalments.days_late > 5).streak(last=12)
    rising = instalments.days_late.slope(last=6)
    unpaid = (instalments.due - instalments.paid).sum(*LONG)


@sl.feature_view(entity=customer, source=reports, owner="credit-risk", freshness="100d")
class Bureau:
    """What the credit agency says, as it was reported then."""

    score = reports.score.latest()
    score_step = reports.score.diff()
    score_low = reports.score.min("365d")
    open_debts = reports.open_debts.latest()
    inquiries = reports.inquiries.latest()
    inquiries_year = reports.inquiries.sum("365d")


@sl.feature_view(entity=series, source=macro, owner="economics")
class Macro:
    """A figure of the economy, as it was published then."""

    value = macro.value.latest()
    step = macro.value.diff()


amount = sl.Request("amount", float)
months = sl.Request("months", int)


@sl.on_demand
class Loan:
    """The loan that is asked for, against the customer's means."""

    rate = amount / months
    of_income = amount / months / (spending.salary_sum_90d / 3)
    of_net = amount / Account.net_365d


credit_model = sl.FeatureService(
    "credit_model",
    [
        spending, Account, Repayment, Bureau, Loan,
        Macro.at(series="cpi", prefix="cpi_"),
        Macro.at(series="unemployment", prefix="unemployment_"),
    ],
    description="Will this loan not be paid back?",
    owner="credit-risk",
)  # fmt: skip

falling = sl.Example(
    "a report that was revised later does not count before it was revised",
    of=Bureau,
    rows=[
        {"customer_id": "k", "report_id": "1", "score": score, "open_debts": 0, "inquiries": 1,
         "reported_at": "2026-01-01T00:00:00Z", "received_at": known}
        for score, known in ((640.0, "2026-01-03T00:00:00Z"), (300.0, "2026-03-01T00:00:00Z"))
    ],
    at="2026-02-01T00:00:00Z",
    expect={"score": 640.0},
)  # fmt: skip

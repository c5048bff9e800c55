"""What a card usually does, and what it has just done."""

import skewless as sl

card = sl.Entity("card", card_id=str)

payments = sl.Source(
    "payments",
    schema={
        "payment_id": str,
        "card_id": sl.Column(str, "the card, not its number", pii="quasi"),
        "amount": sl.Column(float, "what was paid", unit="EUR"),
        "country": sl.Column(str, "of the merchant, two letters"),
        "kind": sl.Column(str, "of the merchant"),
        "declined": bool,
    },
    event_time="paid_at",
    known_time="booked_at",  # some merchants hand their payments in hours later
    row_id="payment_id",
    table=sl.Parquet("data/payments/"),
    stream=sl.Files("landing/"),
    closed="left",  # the payment that is asked about is none of its own past
)


@sl.feature_view(entity=card, source=payments, owner="fraud", freshness="5m")
class Velocity:
    """What the card has just done: from the stream, payment by payment."""

    many = payments.count("10m", "1h", "24h")
    amount = payments.amount.sum("1h", "24h")
    declined = payments.where(payments.declined).count("24h")
    busiest = payments.burst("10m", "24h")
    moves = payments.country.changes("24h")
    step = payments.amount.diff()
    rising = payments.amount.slope(last=5)
    country_before = payments.country.latest()
    quiet_for = payments.since_last()
    amounts = payments.amount.last_n(50, "24h")


@sl.feature_view(entity=card, source=payments, owner="fraud", lag="1h")
class Usual:
    """What the card usually does, without the last hour: a thief must not become the usual."""

    usual = payments.amount.mean("30d")
    spread = payments.amount.std("30d")
    largest = payments.amount.max("30d")
    per_day = payments.count("30d") / 30
    countries = payments.country.distinct("30d")
    kinds = payments.kind.n_unique("30d")
    known_for = payments.since_first()


amount = sl.Request("amount", float)
country = sl.Request("country", str)


@sl.on_demand
class Payment:
    """The payment that is asked about, against the card's past."""

    against_usual = (amount - Usual.usual) / Usual.spread
    against_largest = amount / Usual.largest
    alike = Velocity.amounts.near(amount, 0.1)
    new_country = ~Usual.countries.contains(country)
    abroad_again = Velocity.country_before != country
    hour = sl.now().hour()


fraud_model = sl.FeatureService(
    "fraud_model",
    [
        Velocity.many_10m, Velocity.many_1h, Velocity.many_24h, Velocity.amount_1h,
        Velocity.amount_24h, Velocity.declined, Velocity.busiest, Velocity.moves, Velocity.step,
        Velocity.rising, Velocity.quiet_for, Usual.usual, Usual.spread, Usual.largest,
        Usual.per_day, Usual.kinds, Usual.known_for, Payment,
    ],
    description="Is this payment made by a thief?",
    owner="fraud",
)  # fmt: skip

thief = sl.Example(
    "three payments within ten minutes are a burst, and not yet the usual",
    of=Velocity,
    rows=[
        {"card_id": "c", "payment_id": p, "amount": 5.0, "paid_at": at, "booked_at": at}
        for p, at in (
            ("1", "2026-01-31T10:00:00Z"),
            ("2", "2026-01-31T10:04:00Z"),
            ("3", "2026-01-31T10:08:00Z"),
        )
    ],
    at="2026-01-31T10:30:00Z",
    expect={"busiest": 3, "many_10m": 0, "many_1h": 3},
)

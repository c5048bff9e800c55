"""What ``skewless init`` writes: settings, definitions, synthetic rows, and a README that runs."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

CARDS = ("c1", "c2", "c3", "c4", "c5")
COUNTRIES = ("DE", "FR", "NL")
DAYS = 3
FIRST_HOURS = (0.15, 0.4, 3.0, 11.0)
"""Ages of rows of the first card: it has some in every window, for an hour and more."""
FIRST_COMMANDS = ("skewless plan", "skewless apply")

SETTINGS = """\
# Settings of this repo. Every line may go: what stands here is the default, or a comment.
project = "{project}"

# How far back an online read may ask (--at).
rewind = "5m"

# Python files with definitions; by default every *.py in this folder that is no test.
# definitions = ["features.py"]

# The online store answers for one entity now. "lmdb" is embedded and needs no server.
[online]
kind = "lmdb"
# path = ".skewless/online"
# kind = "redis"
# url = "redis://:${{REDIS_PASSWORD}}@cache:6379/0"      # from the environment, never shown

# The offline store keeps all history.
# [offline]
# folder = ".skewless/offline"

# The registry keeps definitions and their versions.
# [registry]
# kind = "sqlite"
# path = ".skewless/registry.db"
"""

FEATURES = '''\
"""Features of payment cards. After a change: skewless plan, then skewless apply."""

import skewless as sl

# What the features describe. Join keys are keyword = type.
card = sl.Entity("card", card_id=str)

# Where rows come from. Rows can always be pushed; with table=sl.Parquet("history/") the source
# would read files as well, with stream=sl.Kafka(...) a topic.
payments = sl.Source(
    "payments",
    schema={"payment_id": str, "card_id": str, "amount": float, "country": str, "declined": bool},
    event_time="paid_at",
    row_id="payment_id",  # a second row with this id corrects the first
)


# A view is a group of features over one source. A feature is an aggregation of columns over a
# window: of time ("24h"), of rows (last=20), or arithmetic over such.
@sl.feature_view(entity=card, source=payments, owner="you@example.com", freshness="1d")
class Spend:
    """What a card was used for lately."""

    amount_sum = payments.amount.sum("1h", "24h")  # two features: amount_sum_1h, amount_sum_24h
    payments_24h = payments.count("24h")
    declined_24h = payments.where(payments.declined).count("24h")
    usual_amount = payments.amount.mean(last=20)
    last_country = payments.country.latest(ttl="7d")
    jump = payments.amount.latest() / payments.amount.mean(last=20)


# What one model uses: a named list of features, pinned to their versions.
fraud_model = sl.FeatureService("fraud_model", [Spend])
'''

README = """\
# {project}

A feature repo: `features.py` defines features, `skewless.toml` says where things are kept
(embedded, in `.skewless/`). The rows in `data/` are **synthetic**: made up by `skewless init`,
with times of the last three days.

See what would be registered, and register it:

```console
$ skewless plan
$ skewless apply --yes
```

Load history. `--backdate` says that these are old rows, known since they happened:

```console
$ skewless push payments data/payments.csv --backdate
```

Read the features of a card, as a service would, and ask why a value is what it is:

```console
$ skewless get fraud_model card_id=c1
$ skewless explain Spend:amount_sum_24h card_id=c1
```

Build a training set: for each row of `data/labels.csv` the features as they were known then:

```console
$ skewless historical data/labels.csv fraud_model --timestamp at --out training.parquet
```

See how fresh the features are, and whether the set-up is sound:

```console
$ skewless status
$ skewless doctor
```

From Python it is the same:

```python
import skewless as sl

fs = sl.FeatureStore(".")
print(fs.get_online_features("fraud_model", [{{"card_id": "c1"}}]).to_dict())
```
"""

IGNORED = ".skewless/\n__pycache__/\n"


def files(project: str, now: datetime) -> dict[str, str]:
    """Return path to content of every file of a new repo.

    Args:
        project: its name.
        now: the present, in UTC: the synthetic rows lie in the three days before.
    """
    payments = synthetic_payments(now)
    return {
        "skewless.toml": SETTINGS.format(project=project),
        "features.py": FEATURES,
        "README.md": README.format(project=project),
        "data/payments.csv": _csv(payments),
        "data/labels.csv": _csv(synthetic_labels(payments)),
        ".gitignore": IGNORED,
    }


def synthetic_payments(now: datetime) -> list[dict[str, str]]:
    """Return made-up payments of a few cards, one of which is misused in the last hours."""
    random_ = random.Random(2013)
    rows = []
    for card in CARDS:
        usual = random_.uniform(8, 60)
        moments = [random_.uniform(0.2, DAYS * 24) for _ in range(random_.randint(9, 14))]
        for hours in moments:
            rows.append(_payment(card, hours, usual * random_.lognormvariate(0, 0.4), random_))
    for hours in (0.9, 0.6, 0.5, 0.3):  # the misuse: large, fast, often declined
        rows.append(_payment("c4", hours, random_.uniform(400, 900), random_, declined=0.5))
    for hours in FIRST_HOURS:
        declined = float(hours == max(FIRST_HOURS))
        rows.append(_payment(CARDS[0], hours, random_.uniform(10, 50), random_, declined=declined))
    rows.sort(key=lambda row: -float(row["hours"]))
    for number, row in enumerate(rows, start=1):
        at = now - timedelta(hours=float(row.pop("hours")))
        row |= {"payment_id": f"p{number:04d}", "paid_at": _text(at)}
    return rows


def _payment(
    card: str, hours: float, amount: float, random_: random.Random, declined: float = 0.03
) -> dict[str, str]:
    return {
        "payment_id": "",
        "card_id": card,
        "amount": f"{amount:.2f}",
        "country": random_.choices(COUNTRIES, (8, 1, 1))[0],
        "declined": str(random_.random() < declined).lower(),
        "paid_at": "",
        "hours": str(hours),
    }


def synthetic_labels(payments: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return a spine: card, moment, and whether the payment of then was fraud."""
    chosen = [row for row in payments if float(row["amount"]) > 300 or row["payment_id"][-1] == "5"]
    return [
        {
            "card_id": row["card_id"],
            "at": row["paid_at"],
            "is_fraud": str(int(float(row["amount"]) > 300)),
        }
        for row in chosen
    ]


def _text(moment: datetime) -> str:
    return moment.replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def _csv(rows: list[dict[str, str]]) -> str:
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    return "\n".join(lines) + "\n"

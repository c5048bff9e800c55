"""SYNTHETIC stays in a hospital, made up by a random generator; no patient was asked.

made = history(end, patients=220)
"""

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

Row = dict[str, Any]
HOUR = timedelta(hours=1)
STAY = 96
"""Hours."""
LABS = {"lactate": (1.2, 0.3), "creatinine": (0.9, 0.2), "crp": (20.0, 10.0), "wbc": (8.0, 1.5)}
RISE = {"lactate": 2.5, "creatinine": 0.5, "crp": 60.0, "wbc": 5.0}
RANGES = {"lactate": (0.5, 2.0), "creatinine": (0.6, 1.3), "crp": (0.0, 5.0), "wbc": (4.0, 11.0)}
DRUGS = ("heparin", "aspirin", "ibuprofen", "warfarin", "vancomycin", "gentamicin", "paracetamol")
SIZE = 8
CONCEPTS = {"infection": [1.0, 0.8, 0, 0, 0.2, 0, 0, 0], "recovery": [0, 0, 1.0, 0.7, 0, 0.1, 0, 0]}


@dataclass
class Made:
    """Rows of the tables, and the moments asked about: the spine, in order of time."""

    labs: list[Row] = field(default_factory=list)
    vitals: list[Row] = field(default_factory=list)
    drugs: list[Row] = field(default_factory=list)
    notes: list[Row] = field(default_factory=list)
    ranges: list[Row] = field(default_factory=list)
    concepts: list[Row] = field(default_factory=list)
    asked: list[Row] = field(default_factory=list)
    onsets: dict[str, datetime] = field(default_factory=dict)


def history(end: datetime, patients: int, seed: int = 51) -> Made:
    """Return stays before `end`; of some patients, sepsis begins during the stay."""
    rng, made = random.Random(seed), Made()
    first = end - timedelta(days=90)
    for name, (low, high) in RANGES.items():
        made.ranges.append({"test": name, "low": low, "high": high, "valid_from": first})
    for name, vector in CONCEPTS.items():
        made.concepts.append({"concept": name, "embedding": vector, "since": first})
    for number in range(patients):
        left = end - timedelta(hours=STAY + 6)
        stay(rng, made, f"p{number:04}", first + (left - first) * number / patients)
    made.asked.sort(key=lambda each: each["asked_at"])
    return made


def stay(rng: random.Random, made: Made, key: str, start: datetime) -> None:
    """Add the stay of a patient: vitals, labs, drugs, notes, and when somebody asked."""
    onset = start + rng.uniform(30, 90) * HOUR if rng.random() < 0.4 else None
    if onset is not None:
        made.onsets[key] = onset
    frail = rng.gauss(0, 0.5)

    def bad(at: datetime) -> float:
        """How far the sepsis is at a time: from 0, twelve hours before it is seen, to 1."""
        if onset is None:
            return 0.0
        return min(1.0, max(0.0, (at - onset) / (12 * HOUR) + 1))

    for hour in range(0, STAY, 2):
        at = start + hour * HOUR
        made.vitals.append({
            "patient_id": key, "heart_rate": round(80 + 8 * frail + 22 * bad(at) + rng.gauss(0, 7)),
            "temperature": round(37 + 1.2 * bad(at) + rng.gauss(0, 0.35), 1), "measured_at": at,
        })  # fmt: skip
    for hour in range(0, STAY, 8):
        draw(rng, made, key, start + hour * HOUR + rng.random() * HOUR, bad)
    for hour in range(4, STAY, 12):
        write(rng, made, key, start + hour * HOUR, bad(start + hour * HOUR))
    for drug in rng.sample(DRUGS, rng.randint(1, 4)):
        at = start + rng.uniform(0, 60) * HOUR
        made.drugs.append({"patient_id": key, "drug": drug, "given_at": at})
    stop = STAY if onset is None else (onset - start) / HOUR
    for hour in (24, 40, 56, 72, 88):
        at = start + (hour + rng.uniform(-4, 4)) * HOUR
        if at < start + stop * HOUR:
            made.asked.append({"patient_id": key, "asked_at": at,
                               "sepsis": onset is not None and at + 12 * HOUR > onset})  # fmt: skip


def draw(rng: random.Random, made: Made, key: str, at: datetime, bad: Any) -> None:
    """Add results of a sample of blood: known hours later, some of them corrected next day."""
    for test, (usual, spread) in LABS.items():
        value = round(usual + RISE[test] * bad(at) + rng.gauss(0, spread), 2)
        wrong = rng.random() < 0.08
        row = {"sample_id": f"{key}-{test}-{at:%d%H}", "patient_id": key, "test": test,
               "sampled_at": at}  # fmt: skip
        first = value * 3 if wrong else value
        made.labs.append(row | {"value": first, "resulted_at": at + rng.uniform(1, 9) * HOUR})
        if wrong:
            made.labs.append(row | {"value": value, "resulted_at": at + 24 * HOUR})


def write(rng: random.Random, made: Made, key: str, at: datetime, bad: float) -> None:
    """Add a note, as the vector that a language model would make of it."""
    infection, recovery = CONCEPTS["infection"], CONCEPTS["recovery"]
    vector = [
        round(bad * a + (1 - bad) * b + rng.gauss(0, 0.3), 4)
        for a, b in zip(infection, recovery, strict=True)
    ]
    made.notes.append({"patient_id": key, "embedding": vector, "written_at": at})

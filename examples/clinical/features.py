"""What is known of a patient: labs against their ranges, drugs that interact, notes as vectors."""

import skewless as sl

patient = sl.Entity("patient", patient_id=sl.Column(str, "the patient", pii="direct", phi=True))
test = sl.Entity("test", test=str)
concept = sl.Entity("concept", concept=str)

labs = sl.Source(
    "labs",
    schema={
        "sample_id": str,
        "patient_id": str,
        "test": str,
        "value": sl.Column(float, "the result", phi=True),
    },
    event_time="sampled_at",
    known_time="resulted_at",  # blood is drawn now, and its result known hours later
    row_id="sample_id",  # a result that is corrected replaces the first
    table=sl.Parquet("data/labs/"),
)
vitals = sl.Source(
    "vitals",
    schema={
        "patient_id": str,
        "heart_rate": sl.Column(int, "heart rate", unit="1/min", phi=True),
        "temperature": sl.Column(float, "of the body", unit="C", phi=True),
    },
    event_time="measured_at",
    delay="5m",
    table=sl.Parquet("data/vitals/"),
)
drugs = sl.Source(
    "drugs",
    schema={"patient_id": str, "drug": sl.Column(str, "active substance", phi=True)},
    event_time="given_at",
    table=sl.Parquet("data/drugs/"),
)
notes = sl.Source(
    "notes",
    schema={"patient_id": str, "embedding": sl.Column(sl.Vector(8), "of a note", phi=True)},
    event_time="written_at",
    delay="30m",
    table=sl.Parquet("data/notes/"),
)
ranges = sl.Source(
    "ranges",
    schema={"test": str, "low": float, "high": float},
    event_time="valid_from",
    table=sl.Parquet("data/ranges/"),
)
concepts = sl.Source(
    "concepts",
    schema={"concept": str, "embedding": sl.Vector(8)},
    event_time="since",
    table=sl.Parquet("data/concepts/"),
)
TESTS = ("lactate", "creatinine", "crp", "wbc")


def of_test(name):
    """Features of the results of one test."""
    rows = labs.where(labs.test == name)
    return {
        f"{name}": rows.value.latest(ttl="48h"),
        f"{name}_before": rows.value.previous(),
        f"{name}_max": rows.value.max("48h"),
        f"{name}_rising": rows.value.slope(last=3),
        f"{name}_since": rows.since_last(),
    }


results = sl.FeatureView(
    "Results",
    entity=patient,
    source=labs,
    owner="icu",
    freshness="12h",
    features={name: made for t in TESTS for name, made in of_test(t).items()},
    description="Results of the laboratory, as they were known.",
)


@sl.feature_view(entity=patient, source=vitals, owner="icu", freshness="3h")
class Vitals:
    """What the monitor says."""

    heart_rate = vitals.heart_rate.latest()
    heart_rate_mean = vitals.heart_rate.mean("6h", "24h")
    temperature = vitals.temperature.latest()
    temperature_max = vitals.temperature.max("24h")
    fever_for = (vitals.temperature > 38).streak(last=12)
    unusual = vitals.heart_rate.zscore("48h")


@sl.feature_view(entity=patient, source=drugs, owner="pharmacy")
class Drugs:
    """What the patient is given."""

    drugs = drugs.drug.distinct("72h")


@sl.feature_view(entity=patient, source=notes, owner="icu")
class Notes:
    """What the notes say, as the mean of their vectors."""

    said = notes.embedding.mean("24h")


@sl.feature_view(entity=test, source=ranges, owner="laboratory")
class Range:
    """The reference range of a test."""

    low = ranges.low.latest()
    high = ranges.high.latest()


@sl.feature_view(entity=concept, source=concepts, owner="research")
class Concept:
    """A concept, as a vector."""

    vector = concepts.embedding.latest()


@sl.on_demand(inputs={"drugs": Drugs.drugs}, returns={"interactions": int, "many_drugs": int})
def Interactions(drugs):
    """How many pairs of the drugs given should not meet."""
    import numpy as np

    pairs = (
        ("aspirin", "heparin"), ("aspirin", "ibuprofen"), ("aspirin", "warfarin"),
        ("heparin", "warfarin"), ("ibuprofen", "warfarin"), ("gentamicin", "vancomycin"),
    )  # fmt: skip
    given = [set(each) if each is not None else set() for each in drugs]
    return {
        "interactions": np.array([sum({a, b} <= each for a, b in pairs) for each in given]),
        "many_drugs": np.array([len(each) for each in given]),
    }


lactate_range = Range.at(test="lactate", prefix="lactate_range_")
crp_range = Range.at(test="crp", prefix="crp_range_")
infection = Concept.at(concept="infection", prefix="infection_")
recovery = Concept.at(concept="recovery", prefix="recovery_")


@sl.on_demand
class Against:
    """Results against their reference ranges, notes against concepts."""

    lactate_above = results.lactate / lactate_range.lactate_range_high
    crp_above = results.crp / crp_range.crp_range_high
    like_infection = Notes.said.cosine(infection.infection_vector)
    like_recovery = Notes.said.cosine(recovery.recovery_vector)


sepsis_model = sl.FeatureService(
    "sepsis_model",
    [results, Vitals, Drugs, Interactions, Against],
    description="Will sepsis be seen within twelve hours?",
    owner="icu",
)

waiting = sl.Example(
    "a result counts from when the laboratory told it, not from when blood was drawn",
    of=results,
    rows=[
        {"sample_id": n, "patient_id": "p", "test": "lactate", "value": value, "sampled_at": at,
         "resulted_at": known}
        for n, value, at, known in (
            ("1", 1.1, "2026-01-01T06:00:00Z", "2026-01-01T09:00:00Z"),
            ("2", 4.2, "2026-01-01T12:00:00Z", "2026-01-01T18:00:00Z"),
        )
    ],
    at="2026-01-01T15:00:00Z",
    expect={"lactate": 1.1, "lactate_since": 9 * 3600.0},
)  # fmt: skip

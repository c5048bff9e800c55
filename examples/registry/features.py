"""A registry of test parameters: 1,000 features, 20 families by 50, made by a function."""

from parameters import FAMILIES, QUANTITIES, STATES

import skewless as sl

DIES = 6
"""Of each lot, tested for every parameter."""

lot = sl.Entity("lot", lot_id=str, description="Wafers that are made together.")


def column(quantity, state):
    """A column of a source, with its words."""
    about, unit = QUANTITIES[quantity]
    return sl.Column(float, f"{about} {STATES[state]}", unit=unit)


def family_view(name, about):
    """The source and the view of one family: the mean over the dies of a lot, each parameter."""
    results = sl.Source(
        f"{name}_results",
        schema={
            "lot_id": str,
            "die": int,
            **{f"{q}_{state}": column(q, state) for q in QUANTITIES for state in STATES},
        },
        event_time="tested_at",
        known_time="loaded_at",
        row_id=("lot_id", "die"),  # a lot that is tested anew corrects its first results
        table=sl.Parquet(f"data/{name}/"),
        description=f"Results of parametric tests: {about}.",
        owner=f"{name}-team",
    )
    features = {
        f"{name}_{q}_{state}": results[f"{q}_{state}"]
        .mean(last=DIES)
        .describe(f"{QUANTITIES[q][0]} of {about} {STATES[state]}", unit=QUANTITIES[q][1])
        for q in QUANTITIES
        for state in STATES
    }
    return sl.FeatureView(
        name.capitalize(),
        entity=lot,
        source=results,
        features=features,
        description=f"Parametric tests of a lot: {about}.",
        owner=f"{name}-team",
        freshness="3d",
        tags={"family": name},
    )


views = [family_view(name, about) for name, about in FAMILIES.items()]

lot_model = sl.FeatureService(
    "lot_model", views, description="Will the lot fail when it is judged?", owner="yield"
)
memory_model = sl.FeatureService(
    "memory_model",
    [view for view in views if view.name in ("Sram", "Flash")],
    description="What the memory team watches.",
    owner="sram-team",
)

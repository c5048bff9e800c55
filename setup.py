"""Builds the optional compiled modules; everything else is in pyproject.toml."""

from pathlib import Path

from setuptools import Extension, setup

SOURCES = {
    "skewless.aggregations.kernels._compiled": "src/skewless/aggregations/kernels/_compiled.c",
    "skewless.stores.online.lmdb._pages": "src/skewless/stores/online/lmdb/_pages.c",
    "skewless.stores.online.lmdb._rows": "src/skewless/stores/online/lmdb/_rows.c",
    "skewless.state._texts": "src/skewless/state/_texts.c",
    "skewless.state._windows": "src/skewless/state/_windows.c",
    "skewless.state._reading": "src/skewless/state/_reading.c",
    "skewless.state._inserting": "src/skewless/state/_inserting.c",
    "skewless.stores.online._sealing": "src/skewless/stores/online/_sealing.c",
}


def extension(name: str, source: str) -> Extension:
    """Return one module in C."""
    return Extension(
        name,
        sources=[source],
        depends=[str(path) for path in sorted(Path("src").rglob("*.h"))],
        optional=True,  # without a C compiler the same in NumPy or Python gives the same, slower
        # -ffp-contract=off: a fused multiply-add rounds once where the NumPy kernels round twice.
        extra_compile_args=["-O3", "-g0", "-ffp-contract=off"],
    )


setup(ext_modules=[extension(*item) for item in SOURCES.items() if Path(item[1]).exists()])

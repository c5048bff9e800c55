"""Builds the optional compiled kernels; everything else is in pyproject.toml."""

from pathlib import Path

from setuptools import Extension, setup

SOURCE = "src/skewless/aggregations/kernels/_compiled.c"

# -ffp-contract=off: a fused multiply-add rounds once where the NumPy kernels round twice.
compiled = Extension(
    "skewless.aggregations.kernels._compiled",
    sources=[SOURCE],
    depends=[str(path) for path in sorted(Path(SOURCE).parent.glob("*.h"))],
    optional=True,  # without a C compiler the NumPy kernels give the same values, slower
    extra_compile_args=["-O3", "-g0", "-ffp-contract=off"],
)

setup(ext_modules=[compiled] if Path(SOURCE).exists() else [])

"""Which implementation of the kernels runs: the C extension, or NumPy with the same bits."""

from __future__ import annotations

from skewless.aggregations.kernels import numpy_kernels
from skewless.aggregations.kernels.protocol import Kernels
from skewless.compiled import compiled

chosen: Kernels = compiled("skewless.aggregations.kernels.compiled_kernels") or numpy_kernels
implementation = "numpy" if chosen is numpy_kernels else "compiled"

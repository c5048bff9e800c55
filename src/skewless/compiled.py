"""The modules in C: which of them there are, and whether they are wanted.

Each does what a form in Python or NumPy does too, to the same bits, only faster. That form runs
where no compiler was at hand when the package was built, and where the environment variable
``SKEWLESS_KERNELS`` is "numpy".
"""

from __future__ import annotations

import importlib
import os
from typing import Any


def compiled(module: str) -> Any:
    """Return a module in C by its full name; None where there is none, or none is wanted."""
    if os.environ.get("SKEWLESS_KERNELS") == "numpy":
        return None
    try:
        return importlib.import_module(module)
    except ImportError:
        return None

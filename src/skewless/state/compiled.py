"""Which form reads packed states: the C module ``_reading``, or Python where there is none.

`reading` is the module; None if it is missing, or the environment variable ``SKEWLESS_KERNELS`` is
"numpy". It gives what Python gives, or None where Python is to look.
"""

from __future__ import annotations

import os
import sys
from typing import Any


def _choose() -> Any:
    if os.environ.get("SKEWLESS_KERNELS") == "numpy" or sys.byteorder != "little":
        return None
    try:
        from skewless.state import _reading
    except ImportError:
        return None
    return _reading


reading = _choose()

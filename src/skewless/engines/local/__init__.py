"""The local engine: one machine, compiled kernels, memory that follows the spine."""

from skewless.engines.local.engine import LocalEngine

__all__ = ["LocalEngine"]

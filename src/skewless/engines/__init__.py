"""Engines compute training sets; they move data, the kernels compute."""

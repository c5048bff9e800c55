"""Shipped test tools: conformance suites, an in-memory store, a settable clock, real servers."""

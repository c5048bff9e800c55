"""Looking at a running store: explain, freshness, statistics, search, leakage."""

"""Training sets, value changes and backtests."""

"""The ledger: the append-only, sealed record of what happened: runs, training sets, checks."""

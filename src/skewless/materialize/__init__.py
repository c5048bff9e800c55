"""States from history: materialize, backfill, repair, compact."""

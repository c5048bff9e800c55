"""Where rows are kept: online (the newest, by key) and offline (all history, by time)."""

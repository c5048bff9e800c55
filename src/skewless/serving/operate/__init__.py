"""Running a server: metrics, logs, traces, keys, background work."""

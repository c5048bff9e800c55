"""The demo's repo: what a user's folder of definitions looks like."""

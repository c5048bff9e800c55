"""The checklist of a feature service for production, with evidence for each item."""

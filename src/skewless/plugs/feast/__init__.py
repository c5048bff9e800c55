"""From Feast: its registry as definitions to read, and the proof that they give the same values.

    skewless import feast path/to/feature_repo --out features --prove 10000

``dump`` asks the team's own Feast for its registry as JSON, ``translate`` writes definitions and
says what did not map, ``prove`` compares values with Feast's ``get_historical_features``.
"""

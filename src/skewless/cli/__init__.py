"""The command ``skewless``: a thin shell around the verbs of `FeatureStore`."""

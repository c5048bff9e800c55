"""From other feature stores: what they say of themselves, as definitions to read and keep.

    skewless import hopsworks groups.json --out features
    skewless import sagemaker described/ --out features
    skewless import chronon production/ --types types.json --out features

Each reads a public format, writes ``features.py`` and says what differs or did not map. Feast has a
plug of its own, `skewless.plugs.feast`, because it can be asked to prove the values too.
"""

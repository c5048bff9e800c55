"""What users write: entities, sources, features, views and services. Frozen, checked, no I/O."""

from skewless.definitions.aggregate import Aggregate
from skewless.definitions.entity import Entity
from skewless.definitions.expressions import Expression, Request, if_else, now
from skewless.definitions.feature_service import FeatureService
from skewless.definitions.feature_view import FeatureView, feature_view
from skewless.definitions.grant import Grant
from skewless.definitions.on_demand import OnDemandView, on_demand
from skewless.definitions.references import FeatureRef
from skewless.definitions.scores import zscore
from skewless.definitions.source import Source

__all__ = [
    "Aggregate",
    "Entity",
    "Expression",
    "FeatureRef",
    "FeatureService",
    "FeatureView",
    "Grant",
    "OnDemandView",
    "Request",
    "Source",
    "feature_view",
    "if_else",
    "now",
    "on_demand",
    "zscore",
]

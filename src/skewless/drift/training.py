"""The profile of a training set, kept when it is made: what its models are held against later."""

from __future__ import annotations

from skewless.drift.profile import TRAINING
from skewless.drift.profiles import keep, profile_training
from skewless.online.runtime import Runtime
from skewless.plan.results import TrainingSet
from skewless.training.frame_training_set import FrameTrainingSet


def keep_training(runtime: Runtime, made: TrainingSet) -> None:
    """Put the profiles of a training set into the ledger.

    Not of one whose rows stayed where an engine has them. Of a large one a part is looked at, see
    `profile_training`.
    """
    if isinstance(made, FrameTrainingSet) or not len(made):
        return
    profiles, keys = profile_training(made, runtime.state(), runtime.clock.now())
    keep(runtime.ledger, profiles, keys, point=TRAINING, id=made.id)

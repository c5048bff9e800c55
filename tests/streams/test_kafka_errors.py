"""Errors of a broker that pass by themselves are waited for; others are not."""

from collections.abc import Callable
from typing import Any

import pytest

ck = pytest.importorskip("confluent_kafka")
errors = pytest.importorskip("skewless.streams._kafka_errors")

PATIENCE = 60.0


def failing(*codes: int) -> Callable[[float], str]:
    """A question that is answered after an error of each code."""
    left = list(codes)

    def question(seconds: float) -> str:
        assert 0 < seconds <= PATIENCE
        if left:
            raise ck.KafkaException(ck.KafkaError(left.pop(0)))
        return "answer"

    return question


@pytest.mark.parametrize(
    "name",
    ["NOT_LEADER_FOR_PARTITION", "LEADER_NOT_AVAILABLE", "UNKNOWN_LEADER_EPOCH", "_UNKNOWN_TOPIC"],
)
def test_what_passes_is_asked_again(name: str) -> None:
    code = getattr(ck.KafkaError, name)
    assert errors.ask(failing(code, code), PATIENCE) == "answer"


@pytest.mark.parametrize("name", ["TOPIC_AUTHORIZATION_FAILED", "_TIMED_OUT", "_TRANSPORT"])
def test_what_does_not_pass_is_raised_at_once(name: str) -> None:
    with pytest.raises(ck.KafkaException):
        errors.ask(failing(getattr(ck.KafkaError, name)), PATIENCE)


def test_patience_ends() -> None:
    def question(seconds: float) -> None:
        raise ck.KafkaException(ck.KafkaError(ck.KafkaError.NOT_LEADER_FOR_PARTITION))

    with pytest.raises(ck.KafkaException, match="NOT_LEADER"):
        errors.ask(question, 0.0)


def test_a_partition_that_did_not_answer_is_not_one_without_messages() -> None:
    """It was begun at its end before, past what it has."""

    class Answers:
        calls = 0

        def offsets_for_times(self, asked: list[Any], timeout: float) -> list[Any]:
            self.calls += 1
            return [Place(asked[0], self.calls == 1)]

    class Place:
        def __init__(self, asked: Any, lost: bool) -> None:
            self.partition = asked.partition
            self.offset = -1 if lost else 7
            code = ck.KafkaError.NOT_LEADER_FOR_PARTITION
            self.error = ck.KafkaError(code) if lost else None

    found = errors.offsets_at(Answers(), [ck.TopicPartition("t", 0, 1)], PATIENCE)
    assert [place.offset for place in found] == [7]

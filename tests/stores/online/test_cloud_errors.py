"""What errors of DynamoDB and Bigtable mean, and what is done about rows left unprocessed."""

import uuid
from collections.abc import Iterator
from typing import Any

import botocore.exceptions as aws
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from google.api_core import exceptions as google
from google.auth import exceptions as google_auth

from skewless.errors import StoreError, StoreUnavailable
from skewless.stores.online.bigtable import client as bigtable
from skewless.stores.online.dynamodb import client as dynamodb
from skewless.stores.online.dynamodb.items import place_of
from skewless.stores.online.dynamodb.store import DynamoDBStore
from skewless.testing.servers import running

SECRET = "the-secret-of-the-tests"
ROWS = [(b"%d" % number, b"value %d" % number) for number in range(60)]


def client_error(code: str, message: str = "told", status: int = 400) -> ClientError:
    answer = {"Error": {"Code": code, "Message": message}}
    return ClientError(answer | {"ResponseMetadata": {"HTTPStatusCode": status}}, "PutItem")


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (aws.ReadTimeoutError(endpoint_url="x"), StoreUnavailable, "may or may not have happened"),
        (aws.ConnectTimeoutError(endpoint_url="x"), StoreUnavailable, "cannot be reached"),
        (aws.ConnectionClosedError(endpoint_url="x"), StoreUnavailable, "cannot be reached"),
        (client_error("ThrottlingException"), StoreUnavailable, "takes no more calls"),
        (client_error("InternalServerError", status=500), StoreUnavailable, "DynamoDB failed"),
        (client_error("AccessDeniedException", SECRET), StoreError, "refuses these credentials"),
        (client_error("InvalidSignatureException", SECRET), StoreError, "refuses these cred"),
        (client_error("ExpiredTokenException", SECRET), StoreError, "refuses these credentials"),
        (client_error("ResourceNotFoundException"), StoreError, "table is missing"),
        (client_error("ValidationException"), StoreError, "refused a call. Got: Val"),
        (aws.NoCredentialsError(), StoreError, "no AWS credentials"),
        (aws.NoRegionError(), StoreError, "no AWS region"),
    ],
)
def test_errors_of_dynamodb_say_what_they_mean(
    error: Exception, kind: type[StoreError], says: str
) -> None:
    told = dynamodb.store_error(error, "dynamodb://here", wrote=True)
    assert type(told) is kind
    assert says in str(told)
    assert SECRET not in str(told)


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (google.ServiceUnavailable("gone"), StoreUnavailable, "may or may not have happened"),
        (google.DeadlineExceeded("slow"), StoreUnavailable, "cannot be reached"),
        (google.ResourceExhausted("quota"), StoreUnavailable, "cannot be reached"),
        (google_auth.TransportError("no token server"), StoreUnavailable, "cannot be reached"),
        (google_auth.RefreshError(SECRET), StoreError, "no Google credentials"),
        (google.PermissionDenied("no"), StoreError, "roles/bigtable.user"),
        (google.NotFound("table"), StoreError, "no such table or instance"),
        (google.InvalidArgument("row key"), StoreError, "refused a call"),
    ],
)
def test_errors_of_bigtable_say_what_they_mean(
    error: Exception, kind: type[StoreError], says: str
) -> None:
    told = bigtable.store_error(error, "bigtable://here", wrote=True)
    assert type(told) is kind
    assert says in str(told)
    assert SECRET not in str(told)


class Raw:
    """A body, as urllib3 hands it on."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def stream(self) -> Iterator[bytes]:
        yield self.body


@pytest.mark.parametrize(
    ("status", "headers", "body", "whole"),
    [
        (200, {"x-amz-crc32": "2745614147"}, b"{}", True),
        (200, {"x-amz-crc32": "2745614147"}, b"", False),
        (200, {"x-amz-crc32": "27456", "content-length": "2"}, b"{}", False),
        (200, {"content-length": "2"}, b"{}", True),
        (200, {"content-length": "2"}, b"{", False),
        (200, {}, b"", False),
        (400, {}, b"", True),
    ],
)
def test_an_answer_of_dynamodb_is_whole_or_none(
    status: int, headers: dict[str, str], body: bytes, whole: bool
) -> None:
    answer = AWSResponse("http://here", status, headers, Raw(body))
    if whole:
        dynamodb.check_whole(answer)
        return
    with pytest.raises(aws.IncompleteReadError):
        dynamodb.check_whole(answer)


@pytest.fixture(scope="module")
def store() -> Iterator[DynamoDBStore]:
    with running("dynamodb") as server, pytest.MonkeyPatch.context() as environment:
        environment.delenv("AWS_PROFILE", raising=False)
        environment.setenv("AWS_ACCESS_KEY_ID", "tests")
        environment.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        environment.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        with DynamoDBStore(f"tests_{uuid.uuid4().hex}", endpoint=server.url) as store:
            yield store


@pytest.mark.server("dynamodb")
def test_rows_that_dynamodb_leaves_unprocessed_are_asked_for_again(store: DynamoDBStore) -> None:
    """DynamoDB Local is never busy: its answers become those of a DynamoDB that is."""
    calls: list[int] = []

    def too_busy(parsed: dict[str, Any], **_: Any) -> None:
        items = parsed["Responses"][store._table]
        calls.append(len(items))
        if len(calls) % 2:
            left = [place_of("rows", item["s"]["B"][1:]) for item in items[10:]]
            parsed["UnprocessedKeys"] = {store._table: {"Keys": left, "ConsistentRead": True}}
            del items[10:]

    keys = [key for key, _ in ROWS]
    store.write("rows", ROWS)
    events = store._calls.meta.events
    events.register("after-call.dynamodb.BatchGetItem", too_busy)
    try:
        found = [store.read("rows", keys) for _ in range(4)]
    finally:
        events.unregister("after-call.dynamodb.BatchGetItem", too_busy)
    assert found == [[value for _, value in ROWS]] * 4
    assert calls == [60, 50] * 4


@pytest.mark.server("dynamodb")
def test_writes_that_dynamodb_never_takes_end_in_an_error(store: DynamoDBStore) -> None:
    def too_busy(parsed: dict[str, Any], **_: Any) -> None:
        parsed["UnprocessedItems"] = {store._table: [{"DeleteRequest": {"Key": place}}]}

    place = {"p": {"S": "0/none"}, "s": {"B": b"="}}
    events = store._calls.meta.events
    events.register("after-call.dynamodb.BatchWriteItem", too_busy)
    try:
        with pytest.raises(StoreUnavailable, match="Some rows of this call may have been written"):
            store.write("rows", ROWS[:1])
    finally:
        events.unregister("after-call.dynamodb.BatchWriteItem", too_busy)
    store.write("rows", ROWS[:1])
    assert store.read_one("rows", ROWS[0][0]) == ROWS[0][1]

"""The client of DynamoDB, the making of its table, and what its errors mean."""

from __future__ import annotations

import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)
from botocore.parsers import ResponseParserError

from skewless.errors import StoreError, StoreUnavailable
from skewless.stores.online.concurrency import THREADS
from skewless.stores.online.dynamodb.items import PARTITION, SORT

CREATION_PATIENCE_SECONDS = 60.0
CREATION_PAUSE_SECONDS = 0.2

ERRORS = (BotoCoreError, ClientError, ResponseParserError)
_LOST = (ConnectionError, HTTPClientError, IncompleteReadError, ResponseParserError)
_NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, ProfileNotFound)
_THROTTLED = {
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
}
_CANCELLED = "TransactionCanceledException"
_OTHERS = {"ConditionalCheckFailed", "TransactionConflict"}
_REFUSED = {
    "AccessDeniedException",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "UnrecognizedClientException",
}


class DynamoDBClient:
    """A client of boto3 and the threads that make several calls at once."""

    def __init__(
        self, region: str | None, endpoint: str | None, profile: str | None, timeout: float
    ) -> None:
        session = boto3.session.Session(profile_name=profile, region_name=region)
        self.calls = session.client(
            "dynamodb",
            endpoint_url=endpoint,
            config=Config(
                connect_timeout=timeout,
                read_timeout=timeout,
                # The driver's own retries would repeat writes too, which may undo later ones.
                retries={"total_max_attempts": 1, "mode": "standard"},
                max_pool_connections=THREADS + 2,
                parameter_validation=False,  # a third of the time of a read of 100 rows
                tcp_keepalive=True,
            ),
        )
        self.calls.meta.events.register("after-call.dynamodb", check_whole)
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="skewless-dynamodb")

    def close(self) -> None:
        """Release connections and threads."""
        self.threads.shutdown(wait=False)
        self.calls.close()


def check_whole(http_response: Any, **_: Any) -> None:
    """Refuse an answer that was cut short, which boto3 may take for one that says "no such row".

    Raises:
        IncompleteReadError: the answer lacks some of its headers or of its body.
    """
    if http_response.status_code != HTTPStatus.OK:
        return
    body, headers = http_response.content, http_response.headers
    crc, length = headers.get("x-amz-crc32", ""), headers.get("content-length", "")
    expected, got = (crc, zlib.crc32(body)) if crc else (length, len(body))
    if expected != str(got):
        raise IncompleteReadError(actual_bytes=len(body), expected_bytes=length or "more")


def where_of(table: str, region: str | None, endpoint: str | None) -> str:
    """Return how errors name the store.

    Raises:
        StoreError: the endpoint holds credentials, or is none; the message does not repeat it.
    """
    place = region or "default region"
    if endpoint is not None:
        parts = urlsplit(endpoint)
        place = parts.netloc
        if parts.scheme not in ("http", "https") or not place or "@" in place:
            raise StoreError(
                "the endpoint of DynamoDB is not one",
                expected="https://host:port, without user and password",
                hint="AWS credentials come from the environment, a profile or a role.",
            )
    return f"dynamodb://{place}/{table}"


def make_table(client: Any, table: str, where: str) -> None:
    """Make the table if it is missing and wait until it can be used; refuse somebody else's."""
    deadline = time.monotonic() + CREATION_PATIENCE_SECONDS
    while True:
        try:
            found = client.describe_table(TableName=table)["Table"]
        except ClientError as error:
            if code_of(error) != "ResourceNotFoundException":
                raise
            found = _created(client, table)
        if found["TableStatus"] in {"ACTIVE", "UPDATING"}:
            break
        if time.monotonic() > deadline:
            raise StoreUnavailable(
                "the DynamoDB table is not ready", got=found["TableStatus"], where=where
            )
        time.sleep(CREATION_PAUSE_SECONDS)
    keys = {key["AttributeName"]: key["KeyType"] for key in found["KeySchema"]}
    types = {kind["AttributeName"]: kind["AttributeType"] for kind in found["AttributeDefinitions"]}
    got = {name: (kind, types[name]) for name, kind in keys.items()}
    expected = {PARTITION: ("HASH", "S"), SORT: ("RANGE", "B")}
    if got != expected:
        raise StoreError(
            "the DynamoDB table was not made for skewless",
            got=f"keys {got}",
            expected=f"keys {expected}",
            where=where,
            hint="Give the online store a table of its own.",
        )


def _created(client: Any, table: str) -> dict[str, Any]:
    try:
        made: dict[str, Any] = client.create_table(
            TableName=table,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[
                {"AttributeName": PARTITION, "KeyType": "HASH"},
                {"AttributeName": SORT, "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[
                {"AttributeName": PARTITION, "AttributeType": "S"},
                {"AttributeName": SORT, "AttributeType": "B"},
            ],
        )["TableDescription"]
        # Not yet as it will be: ask again.
        return {**made, "TableStatus": "CREATING"}
    except ClientError as error:
        if code_of(error) != "ResourceInUseException":
            raise
        return {"TableStatus": "CREATING"}  # by another process, just now


def code_of(error: ClientError) -> str:
    """Return the name that DynamoDB gives an error."""
    return str(error.response.get("Error", {}).get("Code", ""))


def reasons_of(error: ClientError) -> set[str]:
    """Return why the parts of a transaction did not happen."""
    return {str(each.get("Code", "None")) for each in error.response.get("CancellationReasons", ())}


def may_send_again(error: Exception) -> bool:
    """Say whether a transaction that has a token may be sent again: it then happens once."""
    busy = isinstance(error, ClientError) and code_of(error) == "TransactionInProgressException"
    return busy or is_passing(error)


def is_throttled(error: Exception) -> bool:
    """Say whether DynamoDB turned the call away for the moment, having done nothing."""
    if not isinstance(error, ClientError):
        return False
    if code_of(error) == _CANCELLED and not reasons_of(error) & _OTHERS:
        return bool(reasons_of(error) & {"ThrottlingError", "ProvisionedThroughputExceeded"})
    return code_of(error) in _THROTTLED


def is_passing(error: Exception) -> bool:
    """Say whether a call that changes nothing may be made again."""
    return isinstance(error, _LOST) or is_throttled(error) or _is_server_fault(error)


def _is_server_fault(error: Exception) -> bool:
    if not isinstance(error, ClientError):
        return False
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return bool(status >= 500)


class ConditionFailed(StoreError):
    """The row was not as a conditional write expected it."""


def store_error(error: Exception, where: str, *, wrote: bool) -> StoreError:
    """Return the `StoreError` that says what ``error`` means for the store at ``where``."""
    if isinstance(error, _NO_CREDENTIALS):
        hint = "Set AWS_PROFILE or AWS_ACCESS_KEY_ID, or give the machine a role."
        return StoreError("there are no AWS credentials", got=error, where=where, hint=hint)
    if isinstance(error, NoRegionError):
        hint = "Set region = in [online], or AWS_DEFAULT_REGION."
        return StoreError("there is no AWS region", where=where, hint=hint)
    lost = "The write may or may not have happened." if wrote else "Is it up? Check the network."
    if not isinstance(error, ClientError):
        got = f"{type(error).__name__}: {error}"
        if isinstance(error, _LOST):
            return StoreUnavailable("DynamoDB cannot be reached", got=got, where=where, hint=lost)
        return StoreError("the AWS client refused a call", got=got, where=where)
    code = code_of(error)
    message = error.response.get("Error", {}).get("Message", "")
    facts: dict[str, Any] = {"got": f"{code}: {message}".rstrip(": "), "where": where}
    if code == "ConditionalCheckFailedException" or (
        code == _CANCELLED and reasons_of(error) & _OTHERS
    ):
        return ConditionFailed("the row is not as expected", where=where)
    if code in _REFUSED:
        # Not the message: of a wrong signature it repeats the request, its headers included.
        hint = "Check the credentials and what their policy allows."
        return StoreError("DynamoDB refuses these credentials", got=code, where=where, hint=hint)
    if is_throttled(error):
        hint = "Raise the table's capacity or write in smaller pieces."
        return StoreUnavailable("DynamoDB takes no more calls for now", **facts, hint=hint)
    if _is_server_fault(error):
        return StoreUnavailable("DynamoDB failed", **facts, hint=lost)
    if code == "ResourceNotFoundException":
        hint = "Somebody removed it; open the store again to create it."
        return StoreError("the DynamoDB table is missing", **facts, hint=hint)
    return StoreError("DynamoDB refused a call", **facts)

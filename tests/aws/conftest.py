"""Stores in DynamoDB Local that functions fill and repos read."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import skewless as sl
from skewless.aws.function import StreamFunction
from skewless.ingest.lanes.begin import begin
from skewless.testing.servers import Server, running
from tests.aws.events import STREAM
from tests.ingest.stream.events import source, view


@pytest.fixture(scope="session")
def dynamodb() -> Iterator[Server]:
    with running("dynamodb") as server:
        yield server


@dataclass
class Account:
    """A table of DynamoDB, a repo that reads it, and functions that fill it."""

    url: str
    folder: Path
    table: str

    def repo(self, name: str, *views: Any) -> sl.FeatureStore:
        """A repo with the views applied; one more reads the same."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        (folder / "skewless.toml").write_text(
            f'[online]\nkind = "dynamodb"\ntable = "{self.table}"\nendpoint = "{self.url}"\n'
        )
        fs = sl.FeatureStore(folder)
        fs.apply(fs.plan(*views))
        return fs

    def begun(self, stream: str = STREAM, **options: Any) -> sl.FeatureStore:
        """The repo of which the states of the source were begun."""
        fs = self.repo("repo", view(source(None, **options)))
        begin(fs.runtime, "tests", stream)
        return fs

    def function(self, **options: Any) -> StreamFunction:
        """One of several that are at work at once."""
        return StreamFunction(self.folder / "repo", "tests", **options)


@pytest.fixture
def account(dynamodb: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Account:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "tests")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    return Account(dynamodb.url, tmp_path, f"tests_{uuid.uuid4().hex}")

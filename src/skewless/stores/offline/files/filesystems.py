"""File systems of tables: local disks, S3, Google Cloud Storage and Azure, by Arrow's own drivers.

    filesystem, path, remote = locate("s3://lake/tests/", None, settings)

Credentials are found where the drivers look for them: environment, profile, role of the machine.
What ``[filesystem.s3]``, ``[filesystem.gs]`` and ``[filesystem.abfs]`` of ``skewless.toml`` say
goes to the driver by Arrow's names; Delta and Iceberg have their own names for the same settings.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from skewless.config import TableSettings
from skewless.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow.fs as pafs

SCHEMES = {
    "s3": "s3", "s3a": "s3", "s3n": "s3", "gs": "gs", "gcs": "gs", "abfs": "abfs", "abfss": "abfs",
}  # fmt: skip
"""Scheme of an address to the section of settings that it goes by."""

_DELTA = {
    "s3": {
        "endpoint_override": "AWS_ENDPOINT_URL",
        "region": "AWS_REGION",
        "access_key": "AWS_ACCESS_KEY_ID",
        "secret_key": "AWS_SECRET_ACCESS_KEY",
        "session_token": "AWS_SESSION_TOKEN",
        "anonymous": "AWS_SKIP_SIGNATURE",
        "role_arn": "AWS_IAM_ROLE_ARN",
        "session_name": "AWS_IAM_ROLE_SESSION_NAME",
    },
    "gs": {"anonymous": "GOOGLE_SKIP_SIGNATURE", "endpoint_override": "GOOGLE_BASE_URL"},
    "abfs": {
        "account_name": "AZURE_STORAGE_ACCOUNT_NAME",
        "account_key": "AZURE_STORAGE_ACCOUNT_KEY",
        "sas_token": "AZURE_STORAGE_SAS_TOKEN",
        "client_id": "AZURE_STORAGE_CLIENT_ID",
        "client_secret": "AZURE_STORAGE_CLIENT_SECRET",
        "tenant_id": "AZURE_STORAGE_TENANT_ID",
        "blob_storage_authority": "AZURE_STORAGE_ENDPOINT",
    },
}
_ICEBERG = {
    "s3": {
        "endpoint_override": "s3.endpoint",
        "region": "s3.region",
        "access_key": "s3.access-key-id",
        "secret_key": "s3.secret-access-key",
        "session_token": "s3.session-token",
        "anonymous": "s3.anonymous",
        "role_arn": "s3.role-arn",
        "session_name": "s3.role-session-name",
    },
    "gs": {"endpoint_override": "gcs.service.host", "project_id": "gcs.project-id"},
    "abfs": {
        "account_name": "adls.account-name",
        "account_key": "adls.account-key",
        "sas_token": "adls.sas-token",
        "client_id": "adls.client-id",
        "client_secret": "adls.client-secret",
        "tenant_id": "adls.tenant-id",
        "blob_storage_authority": "adls.blob-storage-authority",
    },
}


def locate(
    path: str, base: Path | None, settings: TableSettings
) -> tuple[pafs.FileSystem, str, bool]:
    """Return the file system of a path or address, the path in it, and whether it is remote.

    Raises:
        ConfigError: the address names no file system that is known, or its settings are wrong.
    """
    import pyarrow as pa
    import pyarrow.fs as pafs

    if "://" not in path:
        local = os.path.normpath(os.path.join(base or Path(), os.path.expanduser(path)))
        return pafs.LocalFileSystem(), os.path.abspath(local), False
    try:
        options = options_of(path, settings)
        if options:
            filesystem = _made(SCHEMES[urlsplit(path).scheme], tuple(sorted(options.items())))
            return filesystem, _inner(path), True
        filesystem, inner = _found(path)
    except (pa.ArrowException, ValueError, TypeError, OSError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(
            "the address of a table cannot be understood",
            got=path,
            expected="a path, or an address such as s3://bucket/folder or gs://bucket/folder",
            hint=str(error),
        ) from error
    return filesystem, inner.rstrip("/"), not isinstance(filesystem, pafs.LocalFileSystem)


def options_of(path: str, settings: TableSettings) -> dict[str, Any]:
    """Return what the settings say of the file system of an address, by Arrow's names."""
    scheme = SCHEMES.get(urlsplit(path).scheme)
    return {} if scheme is None else settings.of_filesystem(scheme)


def delta_options(path: str, settings: TableSettings) -> dict[str, str]:
    """Return the same settings as deltalake calls them."""
    options = _renamed(path, settings, _DELTA)
    account, azure = options.get("AZURE_STORAGE_ACCOUNT_NAME"), "AZURE_STORAGE_ENDPOINT"
    if azure in options:
        # As Arrow takes it: what follows the name of the account, or the host of an emulator.
        way, _, host = options[azure].partition("://")
        suffix = host.startswith(".")
        options[azure] = f"{way}://{account}{host}" if suffix else f"{way}://{host}/{account}"
    if any(value.startswith("http://") for value in options.values()):
        options["allow_http"] = "true"
    return options


def iceberg_options(settings: TableSettings) -> dict[str, str]:
    """Return the settings of every file system as pyiceberg calls them."""
    found: dict[str, str] = {}
    for scheme in _ICEBERG:
        found |= _renamed(f"{scheme}://", settings, _ICEBERG)
    return found


def _renamed(
    path: str, settings: TableSettings, names: Mapping[str, Mapping[str, str]]
) -> dict[str, str]:
    options, scheme = options_of(path, settings), SCHEMES.get(urlsplit(path).scheme, "")
    known = names.get(scheme, {})
    for host in ("endpoint_override", "blob_storage_authority"):
        if host in options and "://" not in options[host]:
            way = options.get("scheme", options.get("blob_storage_scheme", "https"))
            options[host] = f"{way}://{options[host]}"
    return {
        known[name]: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in options.items()
        if name in known
    }


@functools.lru_cache(maxsize=64)
def _made(scheme: str, options: tuple[tuple[str, Any], ...]) -> pafs.FileSystem:
    """Return the file system with settings of its own; one for all tables that share them."""
    import pyarrow.fs as pafs

    kinds = {"s3": pafs.S3FileSystem, "gs": pafs.GcsFileSystem, "abfs": pafs.AzureFileSystem}
    given = dict(options)
    for host, way in (
        ("endpoint_override", "scheme"),
        ("blob_storage_authority", "blob_storage_scheme"),
        ("dfs_storage_authority", "dfs_storage_scheme"),
    ):
        before, found, after = given.get(host, "").partition("://")
        if found:
            given[way], given[host] = before, after.rstrip("/")
    if "retry_time_limit" in given:
        given["retry_time_limit"] = timedelta(seconds=given["retry_time_limit"])
    try:
        return kinds[scheme](**given)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"[filesystem.{scheme}] has a setting that Arrow's file system does not take",
            got=str(error).splitlines()[0],
            expected="arguments of pyarrow.fs." + kinds[scheme].__name__,
        ) from error


@functools.lru_cache(maxsize=64)
def _found(address: str) -> tuple[pafs.FileSystem, str]:
    """Return the file system of an address without settings, and the path of the address in it."""
    import pyarrow.fs as pafs

    found: tuple[pafs.FileSystem, str] = pafs.FileSystem.from_uri(address)
    return found


def _inner(path: str) -> str:
    """Return the path of an address in its file system: ``bucket/folder``.

    Not as a URL would be split: names of files may have any character, patterns have ``?``.
    """
    bucket, slash, key = path.partition("://")[2].partition("/")
    # Azure: container@account.dfs.core.windows.net/folder
    return (bucket.partition("@")[0] + slash + key).rstrip("/")

"""The object that is a lock on a store: read, and put over what was read and over nothing else.

S3 puts on a condition (`If-None-Match`, `If-Match`), so that of several writers one alone succeeds. pyarrow has no such
puts, so they are made by AWS's own client. Of other stores, and of those that do not know conditions, the last writer
wins, which a writer finds by reading after it has put.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, cast

from pyarrow import fs

from pipeline.ingest.filesystems import NUM_TRIES, TRIES_VARIABLE

CHANGED = frozenset(("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "412", "409", "404"))
"""What S3 says if another has put or deleted the object meanwhile."""
NO_CONDITIONS = frozenset(("NotImplemented", "501"))
ABSENT = frozenset(("NoSuchKey", "404"))
TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Stored:
    """What an object holds, and the version that says so."""

    data: bytes
    version: str


class LockObject(Protocol):
    """One object of a store. All methods raise OSError if it cannot be reached."""

    def read(self) -> Stored | None:
        """What it holds; None if it is not there."""
        ...

    def put(self, data: bytes, over: Stored | None) -> Stored | None:
        """Write it over what was read, None for nothing; None if another was faster."""
        ...

    def delete(self) -> None: ...


def lock_object(filesystem: fs.FileSystem, path: str) -> LockObject:
    """The object at a path of a store."""
    if isinstance(filesystem, fs.S3FileSystem):
        _, (settings,) = cast(Any, filesystem.__reduce__())
        if not settings["role_arn"]:
            return ConditionalObject(_client(settings), *path.split("/", 1))
    return PlainObject(filesystem, path)


@dataclass(frozen=True)
class PlainObject:
    """By pyarrow, without conditions."""

    filesystem: fs.FileSystem
    path: str

    def read(self) -> Stored | None:
        if self.filesystem.get_file_info(self.path).type != fs.FileType.File:
            return None
        with self.filesystem.open_input_stream(self.path) as stream:
            return Stored(stream.read(), "")

    def put(self, data: bytes, over: Stored | None) -> Stored | None:
        with self.filesystem.open_output_stream(self.path) as stream:
            stream.write(data)
        found = self.read()
        return found if found and found.data == data else None

    def delete(self) -> None:
        self.filesystem.delete_file(self.path)


@dataclass(frozen=True)
class ConditionalObject:
    """By S3, on conditions."""

    client: Any
    bucket: str
    key: str

    def read(self) -> Stored | None:
        with _told():
            try:
                answer = self.client.get_object(Bucket=self.bucket, Key=self.key)
                return Stored(answer["Body"].read(), answer["ETag"])
            except self.client.exceptions.ClientError as error:
                if _code(error) in ABSENT:
                    return None
                raise

    def put(self, data: bytes, over: Stored | None) -> Stored | None:
        condition = {"IfNoneMatch": "*"} if over is None else {"IfMatch": over.version}
        with _told():
            try:
                self._put(data, condition)
            except self.client.exceptions.ClientError as error:
                if _code(error) in NO_CONDITIONS:
                    self._put(data, {})
                elif _code(error) not in CHANGED:
                    raise
        found = self.read()  # the answer to a put that succeeded may have been lost, and a store may know no conditions
        return found if found and found.data == data else None

    def delete(self) -> None:
        with _told():
            self.client.delete_object(Bucket=self.bucket, Key=self.key)

    def _put(self, data: bytes, condition: dict[str, str]) -> None:
        self.client.put_object(Bucket=self.bucket, Key=self.key, Body=data, **condition)


def _code(error: Any) -> str:
    return error.response["Error"]["Code"]


@contextmanager
def _told() -> Iterator[None]:
    """Errors of the client as pyarrow tells those of its own: see `schemas/errors.py`."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        yield
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        raise OSError(f"AWS Error UNKNOWN (HTTP status {status}) {_code(error)}: {error}") from error
    except NoCredentialsError as error:
        raise PermissionError(str(error)) from error
    except BotoCoreError as error:
        raise ConnectionError(str(error)) from error


def _client(settings: dict[str, Any]) -> Any:
    """AWS's client with the settings of pyarrow's; what a URI leaves out both find in AWS's usual places."""
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    endpoint = settings["endpoint_override"]
    config = Config(
        signature_version=UNSIGNED if settings["anonymous"] else None,
        retries={"mode": "standard", "total_max_attempts": int(os.environ.get(TRIES_VARIABLE, NUM_TRIES))},
        connect_timeout=TIMEOUT_S,
        read_timeout=TIMEOUT_S,
        s3={"addressing_style": "path" if endpoint and not settings["force_virtual_addressing"] else "auto"},
    )
    return boto3.client(
        "s3",
        region_name=settings["region"] or None,
        endpoint_url=f"{settings['scheme']}://{endpoint}" if endpoint and "://" not in endpoint else endpoint or None,
        aws_access_key_id=settings["access_key"] or None,
        aws_secret_access_key=settings["secret_key"] or None,
        aws_session_token=settings["session_token"] or None,
        verify=settings["tls_ca_file_path"] or None,
        config=config,
    )

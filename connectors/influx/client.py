"""The one place where influxdb-client is used: posting bytes, asking Flux, making the bucket."""

import asyncio
import base64
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from urllib.parse import quote

import aiohttp
import structlog
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync
from influxdb_client.domain.post_bucket_request import PostBucketRequest
from influxdb_client.rest import ApiException
from influxdb_client.service.buckets_service import BucketsService
from influxdb_client.service.organizations_service import OrganizationsService
from influxdb_client.service.write_service import WriteService

from connectors.settings import TimeseriesSettings
from connectors.stores import StoreUnavailableError
from schemas.errors import SetupError

log = structlog.get_logger(__name__)

_TIMEOUT_S = 30.0
_GZIP_ABOVE_BYTES = 64 * 1024
_GZIP_LEVEL = 1
_WORDS_LENGTH = 500
_REFUSED = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY})
_NO_ACCESS = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_COOKIE = "set-cookie"
"""The client asks for this header of the answer to signing in, whether it is there or not."""
_FAILURES = (aiohttp.ClientError, OSError, TimeoutError)


class RejectedError(Exception):
    """InfluxDB refuses something of what was posted; the message is its own."""


class InfluxClient:
    """One bucket of one server; connects with the first call."""

    def __init__(self, settings: TimeseriesSettings) -> None:
        self._settings = settings
        self._client: InfluxDBClientAsync | None = None
        self._usable = False

    async def close(self) -> None:
        """Close what is open."""
        client, self._client, self._usable = self._client, None, False
        if client is not None:
            try:
                await client.close()
            except (ApiException, *_FAILURES) as error:
                # Only a session of user name and password is signed out; it ends without that too.
                log.info("influxdb did not take the sign-out", error=self._words(error))

    async def post(self, lines: bytes) -> None:
        """Write line protocol, nanoseconds.

        Raises:
            RejectedError: not all of it was taken, whatever is tried.
            StoreUnavailableError: the server is away or in trouble.
            SetupError: address, token, organisation or bucket are wrong.
        """
        if not self._usable:
            await self._make_usable()
        await self._post(lines)

    async def query(self, flux: str) -> str:
        """Answer of a query, as CSV.

        Raises:
            StoreUnavailableError: the server is away, or does not answer this.
        """
        try:
            async with self._talking() as client:
                return str(await client.query_api().query_raw(flux, org=self._settings.org))
        except (ApiException, SetupError) as error:
            message = f"InfluxDB at {self._settings.shown_url} does not answer: {self._words(error)}"
            raise StoreUnavailableError(message) from error

    async def _post(self, lines: bytes) -> None:
        options = {"precision": "ns"}
        if len(lines) > _GZIP_ABOVE_BYTES:
            lines = await asyncio.to_thread(gzip.compress, lines, _GZIP_LEVEL)
            options["content_encoding"] = "gzip"
        try:
            async with self._talking() as client:
                service = WriteService(client.api_client)
                await service.post_write_async(self._settings.org, self._settings.bucket, lines, **options)
        except ApiException as error:
            if error.status in _REFUSED:
                raise RejectedError(self._words(error)) from error
            # The next call looks for the cause, which an operator may have removed by then.
            await self.close()
            message = f"InfluxDB at {self._settings.shown_url} answers {error.status}: {self._words(error)}"
            raise StoreUnavailableError(message, _retry_after_s(error)) from error

    async def _make_usable(self) -> None:
        """Check that the bucket takes what we write, or make it; writing nothing needs no other right than writing."""
        where = f"InfluxDB at {self._settings.shown_url}"
        try:
            async with self._talking() as client:
                service = WriteService(client.api_client)
                try:
                    await service.post_write_async(self._settings.org, self._settings.bucket, b"", precision="ns")
                except ApiException as error:
                    if error.status != HTTPStatus.NOT_FOUND:
                        raise
                    await self._make_bucket(client)
        except ApiException as error:
            if error.status in _NO_ACCESS:
                message = f"{where} refuses the token: check timeseries.token, and that it may write the bucket"
                raise SetupError(message) from error
            message = f"{where} answers {error.status}: {self._words(error)}"
            raise StoreUnavailableError(message, _retry_after_s(error)) from error
        self._usable = True

    async def _make_bucket(self, client: InfluxDBClientAsync) -> None:
        org, bucket = self._settings.org, self._settings.bucket
        where = f"InfluxDB at {self._settings.shown_url}"
        try:
            found = await OrganizationsService(client.api_client).get_orgs_async(org=org)
        except ApiException as error:
            if error.status not in {*_NO_ACCESS, HTTPStatus.NOT_FOUND}:
                raise
            found = None
        if found is None or not found.orgs:
            message = f"{where} has no organisation {org!r} for this token: create it, or set timeseries.org"
            raise SetupError(message)
        request = PostBucketRequest(org_id=found.orgs[0].id, name=bucket, retention_rules=[])
        try:
            await BucketsService(client.api_client).post_buckets_async(request)
        except ApiException as error:
            if error.status not in _NO_ACCESS:
                raise
            message = f"{where} has no bucket {bucket!r}, and the token may not make it: create it, without expiry"
            raise SetupError(message) from error
        log.info("bucket created", org=org, bucket=bucket)

    @asynccontextmanager
    async def _talking(self) -> AsyncIterator[InfluxDBClientAsync]:
        """The client; what goes wrong with the connection becomes `StoreUnavailableError`."""
        try:
            if self._client is None:
                self._client = self._connect()
            yield self._client
        except _FAILURES as error:
            message = f"InfluxDB at {self._settings.shown_url} can't be reached: {self._words(error)}"
            raise StoreUnavailableError(message) from error
        except KeyError as error:
            if error.args != (_COOKIE,):
                raise
            message = (
                f"InfluxDB at {self._settings.shown_url} signs nobody in: its answer has no session cookie, which a "
                "proxy may take away; timeseries.token needs none"
            )
            raise StoreUnavailableError(message) from error

    def _connect(self) -> InfluxDBClientAsync:
        settings = self._settings
        username, password = settings.credentials()
        token = settings.token.get_secret_value()
        try:
            return InfluxDBClientAsync(
                settings.shown_url,
                token=token or None,
                org=settings.org,
                timeout=round(_TIMEOUT_S * 1000),
                ssl_ca_cert=settings.ca_file or None,
                **({} if token else {"username": username, "password": password}),
            )
        except OSError as error:
            message = f"timeseries.ca_file {settings.ca_file!r} can't be read: {error}"
            raise SetupError(message) from error

    def _words(self, error: BaseException) -> str:
        """What `_words` says, without what we are let in with, should the server repeat that."""
        words = _words(error)
        username, password = self._settings.credentials()
        # User name and password leave as one word.
        both = f"{username}:{password}" if password else ""
        for secret in (self._settings.token.get_secret_value(), both, password):
            for written in (secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode()):
                words = words.replace(written, "***") if written else words
        return words[:_WORDS_LENGTH]


def _retry_after_s(error: ApiException) -> float:
    """What the header asks for in seconds; a date, which InfluxDB does not send, counts as nothing."""
    wish = str((error.headers or {}).get("Retry-After", ""))
    return float(wish) if wish.isdecimal() else 0.0


def _words(error: BaseException) -> str:
    """The server's own message, or what kind of failure it was."""
    if isinstance(error, ApiException):
        body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else str(error.body or error.reason)
        try:
            return str(json.loads(body)["message"])
        except (ValueError, KeyError, TypeError):
            return body
    return str(error) or type(error).__name__

"""The one place that connects: an asynchronous client, its indexes, and what its errors mean."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from pymongo import ASCENDING, DESCENDING, AsyncMongoClient, IndexModel
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import ConfigurationError, InvalidURI, OperationFailure, PyMongoError

from connectors.documents import Collection
from connectors.settings import MetadataSettings
from connectors.stores import StoreUnavailableError
from schemas.errors import SetupError

log = structlog.get_logger(__name__)

Raw = dict[str, Any]

_SELECTION_TIMEOUT_S = 5.0
_SOCKET_TIMEOUT_S = 30.0
_NO_ACCESS = frozenset({13, 18})
"""Server error codes `Unauthorized` and `AuthenticationFailed`."""

# Not with `_id` in them: on nx-27017 such an index makes every later write fail.
INDEXES = {
    Collection.TWINS: [IndexModel([("type", ASCENDING)], name="by_type")],
    Collection.COMMANDS: [
        IndexModel([("type", ASCENDING), ("twin", ASCENDING), ("issued_ns", DESCENDING)], name="newest_first")
    ],
}


class MongoConnection:
    """One database of one server; connects with the first call."""

    def __init__(self, settings: MetadataSettings) -> None:
        self._settings = settings
        self._client: AsyncMongoClient[Raw] | None = None
        self._has_indexes = False

    async def close(self) -> None:
        """Close what is open."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncDatabase[Raw]]:
        """The database; errors that are not about one document become the store's.

        Raises:
            StoreUnavailableError: the server is away or in trouble.
            SetupError: address or credentials are wrong.
        """
        where = f"document store at {self._settings.shown_url}"
        try:
            if self._client is None:
                self._client = self._made()
            yield self._client[self._settings.database]
        except (ConfigurationError, InvalidURI) as error:
            message = f"{where}: {error}: check metadata.url"
            raise SetupError(message) from error
        except OperationFailure as error:
            if error.code in _NO_ACCESS:
                message = f"{where} refuses the user: check metadata.username, its password and its rights"
                raise SetupError(message) from error
            message = f"{where} answers with error {error.code}: {_first_line(error)}"
            raise StoreUnavailableError(message) from error
        except PyMongoError as error:
            message = f"{where} can't be reached: {_first_line(error)}"
            raise StoreUnavailableError(message) from error

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncDatabase[Raw]]:
        """As `reading`; the indexes are there."""
        async with self.reading() as database:
            if not self._has_indexes:
                for collection, indexes in INDEXES.items():
                    await database[collection].create_indexes(indexes)
                self._has_indexes = True
            yield database

    def _made(self) -> AsyncMongoClient[Raw]:
        try:
            return self._configured()
        except (ValueError, OSError) as error:
            message = f"document store at {self._settings.shown_url}: {error}: check metadata.url and metadata.ca_file"
            raise SetupError(message) from error

    def _configured(self) -> AsyncMongoClient[Raw]:
        settings = self._settings
        username, password = settings.credentials()
        options: dict[str, Any] = {}
        if username:
            options |= {"username": username, "password": password}
        if settings.ca_file:
            options |= {"tls": True, "tlsCAFile": settings.ca_file}
        return AsyncMongoClient(
            settings.shown_url,
            appname="twinstream",
            serverSelectionTimeoutMS=round(_SELECTION_TIMEOUT_S * 1000),
            socketTimeoutMS=round(_SOCKET_TIMEOUT_S * 1000),
            # The log is committed once this returns: it must survive the server's crash.
            w="majority",
            journal=True,
            **options,
        )


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]

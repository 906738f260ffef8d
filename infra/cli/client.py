"""The running instance's API, as client commands use it."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

import httpx

from infra.access.local import local_secret
from schemas.errors import TwinstreamError

TOKEN_VARIABLE = "TWINSTREAM_TOKEN"  # noqa: S105 - its name
_TIMEOUT_S = 30.0
_PAGE = 1000


class ApiError(TwinstreamError):
    """The API refuses, or does not answer; the message is what to tell.

    Attributes:
        problems: Each fault, as the API tells them.
    """

    def __init__(self, message: str, problems: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(message)
        self.problems = problems


def token_to_show(data_dir: Path | None = None) -> str:
    """The token that the environment names, else what lets the owner of a data directory in, `""` for none."""
    named = os.environ.get(TOKEN_VARIABLE, "").strip()
    return named or (local_secret(data_dir) if data_dir else "")


def headers_with(token: str) -> dict[str, str]:
    """Headers that show a token, none for `""`."""
    return {"authorization": f"Bearer {token}"} if token else {}


class Api:
    """Requests to the API; anything but success is an `ApiError`, in whatever thread it happens.

    Args:
        url: Where it is.
        token: What is shown to it, `""` for nothing.
    """

    def __init__(self, url: str, token: str = "") -> None:
        self._url = url
        self._headers = headers_with(token)

    def get(self, *path: str, query: Mapping[str, Any] | None = None, absent_ok: bool = False) -> Any:  # noqa: ANN401 - JSON
        """GET one document; None for a twin that is not there, if that is `absent_ok`."""
        return self._request("GET", path, query=query, absent_ok=absent_ok)

    def items(self, *path: str, limit: int | None, query: Mapping[str, Any] | None = None) -> list[Any]:
        """GET a list, page by page, up to `limit` items."""
        found: list[Any] = []
        after = None
        while limit is None or len(found) < limit:
            size = _PAGE if limit is None else min(_PAGE, limit - len(found))
            page = self._request("GET", path, query={**(query or {}), "limit": size, "after": after})
            found += page["items"]
            after = page["next"]
            if after is None:
                break
        return found

    def send(self, method: str, *path: str, body: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
        """PUT or POST a document, or DELETE something."""
        return self._request(method, path, body=body)

    @contextmanager
    def events(self, query: Mapping[str, str]) -> Iterator[Iterator[tuple[str, str]]]:
        """Server-sent events: name and JSON text of each."""
        try:
            with (
                httpx.Client(
                    trust_env=False, headers=self._headers, timeout=httpx.Timeout(_TIMEOUT_S, read=None)
                ) as client,
                client.stream("GET", f"{self._url}/api/stream", params=dict(query)) as response,
            ):
                if response.is_error:
                    response.read()
                    _refuse(response)
                yield _events(response.iter_lines())
        except httpx.HTTPError as error:
            self._unreachable(error)

    def _request(
        self,
        method: str,
        path: tuple[str, ...],
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        absent_ok: bool = False,
    ) -> Any:  # noqa: ANN401 - JSON
        address = "/".join((self._url, "api", *(quote(part, safe="") for part in path)))
        params = {key: value for key, value in (query or {}).items() if value is not None}
        try:
            # A proxy from the environment has no business in front of one's own machine.
            with httpx.Client(trust_env=False, headers=self._headers, timeout=_TIMEOUT_S) as client:
                response = client.request(method, address, params=params, json=body)
                if absent_ok and _is_absent_twin(response):
                    return None
                if response.is_error:
                    _refuse(response)
                return response.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            self._unreachable(error)

    def _unreachable(self, error: Exception) -> NoReturn:
        message = f"no answer from {self._url} ({error or type(error).__name__}): is the instance running?"
        raise ApiError(message) from error


def _is_absent_twin(response: httpx.Response) -> bool:
    """Whether the twin is unknown; an unknown type is another thing."""
    return response.status_code == httpx.codes.NOT_FOUND and "unknown-twin" in response.text


def _refuse(response: httpx.Response) -> NoReturn:
    try:
        problem = response.json()
        title, detail = str(problem["title"]), str(problem["detail"])
        faults = problem.get("errors") or []
    except (ValueError, KeyError, TypeError):
        message = f"the API answered {response.status_code}"
        raise ApiError(message) from None
    lines = [f"{title}: {detail}"]
    if response.status_code == httpx.codes.UNAUTHORIZED:
        lines = [f"{title}: {detail}; commands show the token in {TOKEN_VARIABLE}, or work beside the data directory"]
    if len(faults) > 1:
        lines += [f"{fault.get('pointer') or fault.get('parameter')}: {fault['detail']}" for fault in faults]
    raise ApiError("\n".join(lines), faults)


def _events(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    name = "message"
    for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, value
        elif not line:
            name = "message"

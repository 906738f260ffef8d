"""Whether spans are told, and to whom: OpenTelemetry's own environment variables say so, and nothing else does."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec

from schemas.errors import SetupError
from schemas.trace import NO_TRACER, Tracer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_EXPORTER = "OTEL_TRACES_EXPORTER"
_DISABLED = "OTEL_SDK_DISABLED"
_PROTOCOL = "http/protobuf"

NEEDED = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
"""What has to be installed."""

CURRENT: ContextVar[bytes] = ContextVar("traceparent", default=b"")
"""`traceparent` for what follows from the HTTP request that is being answered, `b""` for none."""


def configured_by() -> str:
    """The variable that says where spans go, `""` when none does."""
    if os.environ.get(_DISABLED, "").strip().lower() == "true" or os.environ.get(_EXPORTER) == "none":
        return ""
    return next((name for name in (*ENDPOINTS, _EXPORTER) if os.environ.get(name)), "")


def check_tracing() -> None:
    """Look whether spans can be told as the environment says.

    Raises:
        SetupError: naming what is missing.
    """
    variable = configured_by()
    if not variable:
        return
    if (exporter := os.environ.get(_EXPORTER)) not in {None, "", "otlp"}:
        raise SetupError(f"{_EXPORTER} is {exporter}: spans leave as otlp or none; set it so, or unset it")
    protocol = next((name for name in _PROTOCOLS if os.environ.get(name)), "")
    if protocol and os.environ[protocol] != _PROTOCOL:
        raise SetupError(
            f"{protocol} is {os.environ[protocol]}: spans leave as {_PROTOCOL}, most often to port 4318;"
            " set it so, or unset it"
        )
    if not all(map(_is_there, NEEDED)):
        raise SetupError(
            f"{variable} asks for traces, and OpenTelemetry is not installed: install twinstream with the extra traces"
            " (pip install 'opentelemetry-sdk>=1.45,<2' 'opentelemetry-exporter-otlp-proto-http>=1.45,<2'),"
            f" or unset {variable}"
        )


@contextmanager
def opened_tracer(role: str) -> Iterator[Tracer]:
    """The tracer of a role, by its name; leaving tells what was not told yet, within seconds.

    Raises:
        SetupError: as of `check_tracing`.
    """
    check_tracing()
    if not configured_by():
        yield NO_TRACER
        return
    from infra.otlp import OtlpTracer  # noqa: PLC0415 - costs a quarter of a second, and may not be installed

    tracer = OtlpTracer(role)
    try:
        yield tracer
    finally:
        tracer.close()


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that it is in
        return False

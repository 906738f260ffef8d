"""Traces: the header that says what a record belongs to, and the port through which spans are told.

The header is that of W3C Trace Context, level 1 (section 3.2, `traceparent`): version, id of the trace, id of the span
that caused this, and flags, all hexadecimal.
"""

import re
from collections.abc import Mapping
from typing import Literal, Protocol

_FORM = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_NO_TRACE, _NO_SPAN = b"0" * 32, b"0" * 16
_VERSION, _FORBIDDEN_VERSION = b"00", b"ff"
_SAMPLED = 1
LONGEST = 512
"""Bytes of a header that is looked at; version 00 has 55, what later ones add behind is left out."""

MOST_SPANS = 200
"""So many spans are begun for the records of one block or round; the others go on with what they came with."""

SpanKind = Literal["consumer", "producer", "server"]


def traceparent_of(told: object) -> bytes:
    """A header's value as version 00 writes it, `b""` for one that is invalid, which means nothing to anybody.

    Args:
        told: Bytes or text, as somebody else wrote it.
    """
    raw = told.encode(errors="replace") if isinstance(told, str) else told
    if not isinstance(raw, bytes | bytearray) or len(raw) > LONGEST:
        return b""
    match = _FORM.fullmatch(raw)
    if match is None:
        return b""
    version, trace, span, flags, rest = match.groups()
    if version == _FORBIDDEN_VERSION or trace == _NO_TRACE or span == _NO_SPAN:
        return b""
    if version == _VERSION:
        return b"" if rest else bytes(raw)
    # Of a version that is not known the first four parts are, and one flag.
    return b"00-%b-%b-%02x" % (trace, span, int(flags, 16) & _SAMPLED)


class Span(Protocol):
    """A stretch of work for one message or record that is being done."""

    @property
    def traceparent(self) -> bytes:
        """What goes into the header of whatever follows from it."""

    def add(self, attributes: Mapping[str, str | int]) -> None:
        """Add what is known by now."""

    def end(self) -> None:
        """It is done, and what follows from it is durable; one that is never ended is told to nobody."""


class Tracer(Protocol):
    """Where spans are told."""

    def begin(
        self,
        name: str,
        kind: SpanKind,
        parent: bytes,
        attributes: Mapping[str, str | int],
        began_ns: int | None = None,
    ) -> Span | None:
        """Begin a span, from any thread.

        Args:
            name: What is done.
            kind: Whether it is done for a message that was taken, to one that leaves, or for a request.
            parent: `traceparent` of what causes it, valid.
            attributes: What else is known.
            began_ns: When, UTC nanoseconds; None for now.

        Returns:
            None where nobody wants to know: then `parent` goes on as it came.
        """


class NoTracer:
    """Nobody wants to know."""

    def begin(self, *_: object, **__: object) -> None:
        """Nothing begins."""


NO_TRACER: Tracer = NoTracer()


def handed_on(span: Span | None, parent: bytes) -> bytes:
    """The header's value of whatever follows from a message with `parent`, for which `span` was begun."""
    return parent if span is None else span.traceparent

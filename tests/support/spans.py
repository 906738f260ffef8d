"""A tracer that keeps what it is told, in place of an exporter."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.trace import SpanKind


@dataclass
class KeptSpan:
    """A span; `ended` says how often."""

    name: str
    kind: SpanKind
    parent: bytes
    attributes: dict[str, str | int]
    traceparent: bytes
    ended: int = 0

    def add(self, attributes: Mapping[str, str | int]) -> None:
        self.attributes |= attributes

    def end(self) -> None:
        self.ended += 1


@dataclass
class KeptSpans:
    """A `Tracer`: spans get the trace of their parent and numbers of their own; what has no flag is not wanted."""

    spans: list[KeptSpan] = field(default_factory=list)

    def begin(
        self,
        name: str,
        kind: SpanKind,
        parent: bytes,
        attributes: Mapping[str, str | int],
        began_ns: int | None = None,  # noqa: ARG002 - the port's
    ) -> KeptSpan | None:
        version, trace, _, flags = parent.split(b"-")
        if flags == b"00":
            return None
        own = b"-".join((version, trace, b"%016x" % (len(self.spans) + 1), flags))
        self.spans.append(KeptSpan(name, kind, parent, dict(attributes), own))
        return self.spans[-1]

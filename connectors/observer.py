"""What a bridge tells about itself while it works."""

from typing import Protocol


class BridgeObserver(Protocol):
    """What a bridge tells about itself; counts only, never ids of twins."""

    def connected(self, direction: str, *, up: bool) -> None:
        """The connection of `direction`, `in` or `out`, came up or went away."""

    def received(self, messages: int, payload_bytes: int) -> None:
        """The broker delivered this much."""

    def written(self, type_name: str, kind: str, records: int) -> None:
        """So many records of this kind are durable in the input topic of the type."""

    def dead_lettered(self, type_name: str, reason: str, letters: int) -> None:
        """So many dead letters are durable; `type_name` is `""` unless it is a deployed type, to bound the labels."""

    def echoed(self, messages: int) -> None:
        """So many messages were our own commands and events, which our subscription covers too."""

    def in_flight(self, messages: int) -> None:
        """So many deliveries wait for Kafka now."""

    def published(self, kind: str, messages: int) -> None:
        """The broker confirmed so many messages of `command` or `event`."""

    def expired(self, commands: int) -> None:
        """So many commands outlived their time to live and were not sent."""

    def undelivered(self, receipt: str, messages: int) -> None:
        """So many messages were `unroutable` or `refused`."""


class Silent:
    """An observer that keeps nothing."""

    def connected(self, direction: str, *, up: bool) -> None:
        """Ignore it."""

    def received(self, messages: int, payload_bytes: int) -> None:
        """Ignore it."""

    def written(self, type_name: str, kind: str, records: int) -> None:
        """Ignore it."""

    def dead_lettered(self, type_name: str, reason: str, letters: int) -> None:
        """Ignore it."""

    def echoed(self, messages: int) -> None:
        """Ignore it."""

    def in_flight(self, messages: int) -> None:
        """Ignore it."""

    def published(self, kind: str, messages: int) -> None:
        """Ignore it."""

    def expired(self, commands: int) -> None:
        """Ignore it."""

    def undelivered(self, receipt: str, messages: int) -> None:
        """Ignore it."""

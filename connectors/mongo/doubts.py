"""How long documents are offered that the server refuses for reasons that nobody knows. Pure."""

from schemas.clock import Clock

PATIENCE_S = 60.0
"""Where the server takes other documents of the same bulk."""
PATIENCE_ALONE_S = 300.0
"""Where it takes none: it may be the server that is at fault."""


class Doubts:
    """When the server first refused which document, in one go of tries without another outcome."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_s: dict[tuple[str, str], float] = {}

    def are_over(self, collection: str, document_id: str, *, others_taken: bool) -> bool:
        """Whether the document, which was refused again, is to be given up.

        Args:
            collection: Where it belongs.
            document_id: In there.
            others_taken: Whether the server took anything at the same time.
        """
        now_s = self._clock.monotonic_s()
        since_s = self._since_s.setdefault((collection, document_id), now_s)
        return now_s - since_s >= (PATIENCE_S if others_taken else PATIENCE_ALONE_S)

    def clear(self) -> None:
        """What comes now is another matter: all was settled, or the server itself was in trouble."""
        self._since_s.clear()

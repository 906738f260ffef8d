"""What one record of a block says beside its value."""

from schemas import messages
from schemas.headers import RECEIVED
from streams.block import Block
from twins.arrival import arrival_ns


def header(block: Block, index: int, name: str) -> bytes:
    """The last header called `name`, `b""` for none."""
    return dict(block.headers(index)).get(name, b"")


def header_text(block: Block, index: int, name: str) -> str:
    """A header as text, cut to what fits into every output."""
    return header(block, index, name)[: messages.TEXT_LIMIT].decode(errors="replace")


def received_ns(block: Block, index: int) -> int:
    """Arrival of a record: fixed by the bridge, else the record's time of writing."""
    return arrival_ns(header(block, index, RECEIVED), block.timestamps_ms[index].item())

"""What one record of a block says beside its value."""

from schemas import messages
from streams.block import Block
from twins.arrival import arrivals_ns


def header(block: Block, index: int, name: str) -> bytes:
    """The last header called `name`, `b""` for none."""
    found = b""
    for key, value in block.headers(index):
        if key == name:
            found = value
    return found


def header_text(block: Block, index: int, name: str) -> str:
    """A header as text, cut to what fits into every output."""
    return header(block, index, name)[: messages.TEXT_LIMIT].decode(errors="replace")


def received_ns(block: Block, index: int) -> int:
    """Arrival of a record: fixed by the bridge, else the record's time of writing."""
    return int(arrivals_ns(block.part(index, index + 1))[0])

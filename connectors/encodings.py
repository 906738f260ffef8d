"""What a message's content-encoding says of its payload. Pure."""

import zlib

from schemas.errors import PayloadError
from schemas.reasons import Reason

_AS_IT_IS = frozenset({"", "identity", "binary", "utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin-1"})
"""Many clients name the letters' encoding here."""
_GZIP, _ZLIB, _BARE = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_WINDOWS = {"gzip": (_GZIP,), "x-gzip": (_GZIP,), "deflate": (_ZLIB, _BARE)}
"""By encoding; some that call it `deflate` leave zlib's frame out."""


def unpacked(payload: bytes, encoding: str, limit_bytes: int) -> bytes:
    """The payload that was packed.

    Args:
        payload: As it came.
        encoding: What the message says of it, in any case; `""` for nothing.
        limit_bytes: That it may unpack to; no more is ever held.

    Raises:
        PayloadError: `too_large` beyond the limit, else `undecodable`.
    """
    name = encoding.strip().lower()
    if name in _AS_IT_IS:
        return payload
    if name not in _WINDOWS:
        raise PayloadError(Reason.UNDECODABLE, f"content-encoding {encoding!r} is none of gzip, deflate, identity")
    for window in _WINDOWS[name]:
        unpacking = zlib.decompressobj(window)
        try:
            found = unpacking.decompress(payload, limit_bytes + 1)
        except zlib.error:
            continue
        if len(found) > limit_bytes:
            raise PayloadError(Reason.TOO_LARGE, f"more than {limit_bytes} bytes once it is unpacked ({name})")
        if unpacking.eof and not unpacking.unused_data:
            return found
    raise PayloadError(Reason.UNDECODABLE, f"is not what its content-encoding says: {name}")

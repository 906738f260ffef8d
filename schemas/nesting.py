"""How deep JSON may be nested: a fixed bound, where decoders have one that depends on who calls them."""

import re

import numpy as np

NESTING_LIMIT = 64

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")


def may_be_deep(payload: bytes) -> bool:
    """Whether a payload has so many brackets that it could be nested too deep; a quick test for many payloads."""
    return payload.count(b"[") + payload.count(b"{") > NESTING_LIMIT


def is_deep(payload: bytes) -> bool:
    """Whether JSON is nested deeper than `NESTING_LIMIT`; brackets without a partner count as deep, too."""
    if not may_be_deep(payload):
        return False
    steps = np.frombuffer(_STRING.sub(b"", payload).translate(_STEPS, _NO_BRACKETS), np.int8)
    depth = np.cumsum(steps, dtype=np.int64)
    return bool(len(depth)) and bool(depth[-1] or depth.min() < 0 or depth.max() > NESTING_LIMIT)

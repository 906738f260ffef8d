"""How deep JSON may be nested: a fixed bound, where decoders have one that depends on who calls them."""

import re

NESTING_LIMIT = 64

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_INNERMOST = re.compile(rb"\[\]|\{\}")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def may_be_deep(payload: bytes) -> bool:
    """Whether a payload has so many brackets that it could be nested too deep; a quick test for many payloads."""
    return payload.count(b"[") + payload.count(b"{") > NESTING_LIMIT


def is_deep(payload: bytes) -> bool:
    """Whether JSON is nested deeper than `NESTING_LIMIT`; brackets without a partner count as deep, too."""
    if not may_be_deep(payload):
        return False
    brackets = _STRING.sub(b"", payload).translate(None, _NO_BRACKETS)
    for _ in range(NESTING_LIMIT):
        brackets = _INNERMOST.sub(b"", brackets)
    return bool(brackets)

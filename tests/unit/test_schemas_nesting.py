"""How deep JSON may be nested."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.nesting import NESTING_LIMIT, is_deep, may_be_deep

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.sampled_from('ab"\\[]{}')),
    lambda below: st.lists(below, max_size=6) | st.dictionaries(st.text(st.sampled_from('x"\\{')), below, max_size=6),
    max_leaves=60,
)


@given(values, st.integers(0, 2 * NESTING_LIMIT), st.booleans())
def test_json_is_deep_when_it_is_nested_deeper_than_the_limit(
    value: Any,
    levels: int,
    objects: bool,  # noqa: FBT001 - Hypothesis gives it by position
) -> None:
    for _ in range(levels):
        value = {"[": value} if objects else [value]
    payload = json.dumps(value).encode()
    assert is_deep(payload) == (_depth(value) > NESTING_LIMIT)
    assert may_be_deep(payload) or not is_deep(payload)


@pytest.mark.parametrize("payload", [b"[" * 100, b'{"a":' * 100, b"[" * 100 + b'"' + b"]" * 100, b"]" * 70 + b"[" * 70])
def test_many_brackets_without_partners_count_as_deep(payload: bytes) -> None:
    assert is_deep(payload)


def test_deep_json_is_judged_in_little_time() -> None:
    payload = b"[" * (1 << 19) + b"]" * (1 << 19)
    started_s = time.process_time()
    assert is_deep(payload)
    assert time.process_time() - started_s < 0.5


@pytest.mark.parametrize("piece", [b"[", b'"', b'\\"', b"[]", b'["\\"', b"[[]"])
def test_hostile_payloads_are_judged_in_little_time(piece: bytes) -> None:
    payload = b'{"' + piece * ((1 << 20) // len(piece))
    started_s = time.process_time()
    is_deep(payload)
    assert time.process_time() - started_s < 0.5


def _depth(value: Any) -> int:
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if below is None else 1 + max(map(_depth, below), default=0)

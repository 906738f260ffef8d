"""Boots: a block's hashes are those of each boot by itself, whatever was named before."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twins import boots as boots_module
from twins.boots import BootHashes
from twins.payloads import Payloads

names = st.text("ab1-", max_size=4) | st.text(st.characters(max_codepoint=126), max_size=80)


def _found(hashes: BootHashes, texts: list[str]) -> list[int]:
    payloads = Payloads.of(text.encode() for text in texts)
    found: list[int] = hashes.of_texts(payloads.data, np.stack([payloads.at, payloads.ends], axis=1)).tolist()
    return found


def _expected(text: str) -> int:
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True) if text else 0


@given(st.lists(st.lists(names, max_size=20), max_size=3))
def test_hashes_of_a_block_are_those_of_its_boots(blocks: list[list[str]]) -> None:
    hashes = BootHashes()
    for block in blocks:
        assert _found(hashes, block) == list(map(_expected, block)) == list(map(hashes.of, block))


def test_more_boots_than_are_remembered_are_hashed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boots_module, "_MOST", 300)
    hashes, texts = BootHashes(), [f"boot-{number}" for number in range(2000)]
    for _ in range(2):
        assert _found(hashes, texts) == list(map(_expected, texts))

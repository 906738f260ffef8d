"""Bundles as the catalogue puts them together from their chunks."""

from pathlib import Path

import pytest

from schemas import bundle as bundles
from schemas.bundle import chunk_key, chunks_of, read_folder
from schemas.topics import DEFINITIONS
from streams.log.client import KafkaOptions
from streams.log.record import LogRecord
from twins.catalogue import Catalogue

BUNDLE = read_folder(Path(__file__).parents[1] / "types" / "statistics")


def _take(catalogue: Catalogue, index: int, chunk: bytes) -> None:
    catalogue._take(LogRecord(DEFINITIONS, 0, 0, 0, chunk_key(BUNDLE.hash, index), chunk, ()))  # noqa: SLF001 - as it comes


def test_a_bundle_is_there_once_all_chunks_are_in_whatever_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "CHUNK_BYTES", 300)
    chunks = chunks_of(BUNDLE.pack())
    assert len(chunks) > 2
    catalogue = Catalogue(KafkaOptions(""))
    for index in range(len(chunks) - 1, 0, -1):
        _take(catalogue, index, chunks[index])
        assert catalogue.bundle(BUNDLE.hash) is None
    _take(catalogue, 0, chunks[0])
    assert catalogue.bundle(BUNDLE.hash) == BUNDLE


def test_a_damaged_bundle_is_whole_again_after_it_was_written_again() -> None:
    (chunk,) = chunks_of(BUNDLE.pack())
    catalogue = Catalogue(KafkaOptions(""))
    _take(catalogue, 0, chunk[:50])
    assert catalogue.bundle(BUNDLE.hash) is None
    _take(catalogue, 0, chunk)
    assert catalogue.bundle(BUNDLE.hash) == BUNDLE

"""Every decoder over bytes made up: a short run of what `scripts/fuzz` does for as long as one likes."""

import contextlib

import pytest
from fuzz.targets import SEEDS, TARGETS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

_PIECES = [
    *(b'"', b"\\", b",", b":", b"{", b"}", b"[", b"]", b"0", b"-", b".", b"e", b"9", b" ", b"\n", b"\0", b"\xff"),
    *(b"=", b"/", b"#", b"+", b"*", b"'", b"(", b")", b"\xed\xa0\x80", b"\\ud800", b"NaN", b"1e400", b"null", b"true"),
]
_COSTLY = {"http_bodies": 25, "input_record": 60, "definition": 60, "settings_file": 60, "telemetry_block": 60}


def _mutated(name: str) -> st.SearchStrategy[bytes]:
    seeds = st.sampled_from(SEEDS.get(name, [b""]))
    place = st.integers(0, 2000)
    change = st.tuples(place, place, st.sampled_from(_PIECES) | st.binary(max_size=6))

    def changed(seed: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
        for at, length, piece in changes:
            start = at % (len(seed) + 1)
            seed = seed[:start] + piece + seed[start + length % 4 :]
        return seed

    return st.builds(changed, seeds, st.lists(change, max_size=4)) | st.binary(max_size=120)


@pytest.mark.parametrize("name", TARGETS)
def test_no_bytes_break_the_decoder(name: str) -> None:
    @settings(max_examples=_COSTLY.get(name, 150), suppress_health_check=list(HealthCheck))
    @given(_mutated(name))
    def run(data: bytes) -> None:
        TARGETS[name](data)

    for seed in SEEDS.get(name, []):
        TARGETS[name](seed)
    run()


def test_every_seed_belongs_to_a_target() -> None:
    assert set(SEEDS) <= set(TARGETS)
    with contextlib.suppress(KeyError):
        assert TARGETS["telemetry_payload"].__doc__

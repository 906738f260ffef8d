"""`traceparent` as W3C Trace Context has it: what is valid goes on, everything else means nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.trace import LONGEST, NO_TRACER, handed_on, traceparent_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
VALID = f"00-{TRACE}-{SPAN}-01"
_HEX = st.sampled_from("0123456789abcdef")


def _hex(size: int) -> st.SearchStrategy[str]:
    return st.text(_HEX, min_size=size, max_size=size)


def _some(size: int) -> st.SearchStrategy[str]:
    return _hex(size).filter(lambda text: text.strip("0") != "")


@given(_some(32), _some(16), _hex(2))
def test_what_is_valid_goes_on_as_it_is(trace: str, span: str, flags: str) -> None:
    text = f"00-{trace}-{span}-{flags}"
    assert traceparent_of(text) == traceparent_of(text.encode()) == text.encode()


@given(_hex(2).filter(lambda version: version not in {"00", "ff"}), _some(32), _some(16), _hex(2), st.text(max_size=60))
def test_of_a_later_version_its_first_parts_go_on_and_one_flag(
    version: str, trace: str, span: str, flags: str, more: str
) -> None:
    kept = f"00-{trace}-{span}-0{int(flags, 16) & 1}".encode()
    assert traceparent_of(f"{version}-{trace}-{span}-{flags}") == kept
    assert traceparent_of(f"{version}-{trace}-{span}-{flags}-{more}") == kept


@pytest.mark.parametrize(
    "told",
    [
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        VALID.upper(),
        f" {VALID}",
        f"{VALID}\n",
        f"{VALID}-00",
        f"{VALID}00",
        f"01-{TRACE}-{SPAN}-01 {VALID}",
        f"01-{TRACE}-{SPAN}-01-{'x' * LONGEST}",
        f"00-{TRACE[:-1]}g-{SPAN}-01",
        VALID.replace("-", "_"),
        "\ud800",
        None,
        7,
        [VALID],
        {"traceparent": VALID},
    ],
)
def test_what_is_not_valid_means_nothing(told: object) -> None:
    assert traceparent_of(told) == b""


@given(st.one_of(st.binary(max_size=2 * LONGEST), st.text(max_size=2 * LONGEST)))
def test_whatever_comes_is_valid_or_nothing(told: bytes | str) -> None:
    kept = traceparent_of(told)
    assert kept == b"" or traceparent_of(kept) == kept


def test_where_nobody_wants_to_know_a_message_hands_on_what_it_came_with() -> None:
    span = NO_TRACER.begin("step tank", "consumer", VALID.encode(), {})
    assert span is None
    assert handed_on(span, VALID.encode()) == VALID.encode()

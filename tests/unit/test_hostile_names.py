"""Ids and names that are none: each a refusal with its reason wherever it comes in, and never another twin."""

import unicodedata
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.http_api import Api

from connectors.inbound import MqttInbound
from connectors.intake import Intake
from connectors.patterns import AMQP, MQTT
from connectors.ports import Delivery
from connectors.routes import Echo, Refusal, Routes, Target
from schemas.errors import InvalidNameError
from schemas.headers import Kind
from schemas.messages import DeadLetter
from schemas.names import check_twin_id
from schemas.reasons import Reason
from schemas.topics import DEADLETTER

HOSTILE = [
    *("#", "+", "*", "a#", "+a", "a/b", "a.b", "a\\b", "..", ".", "../a", "a/../b", "%2e%2e", "%", "a%00", "\0", "a\0"),
    *("a\n", "\na", "a\r", "a\t", " a", "a ", "\x1b[2J", "a\x7f", "a\u202eb", "\u200ba", "a\ufeff", "\U0001f600", "é"),
    *(
        "e\u0301",
        "\u0430",
        "\uff41",
        "\u212a",
        "\u0131",
        "a\u0660",
        "-a",
        "_a",
        "",
        "a" * 65,
        "a" * 65_535,
        "a:b",
        "'",
        '"',
    ),
    *("{id}", "{0}", "%s", "$a", "a;b", "a,b", "a=b", "a|b", "a&b", "<a>", "a'--", "~", "nul\udc80"),
]
DIALECTS = {"mqtt": (MQTT, "/", ""), "amqp": (AMQP, ".", "twinstream")}


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("broker", DIALECTS)
def test_at_a_broker_each_is_a_dead_letter_with_its_reason(broker: str, text: str) -> None:
    dialect, separator, exchange = DIALECTS[broker]
    intake = Intake(Routes([], dialect, default_routes=True), lambda _: True, lambda: "0" * 32)
    for words in (("tank", text, "telemetry"), (text, "t1", "telemetry"), ("tank", "t1", "requests", text)):
        address = separator.join(("twins", *words))
        delivery = Delivery(address, exchange, f"{broker}:{address}".encode(errors="replace").decode(), b"{}", 1, 1)
        entry = intake.entry(delivery)
        if words[-1] == "a" * 65:
            continue  # as long as a request's name may be
        assert entry is not None
        assert (entry.topic, entry.reason) == (DEADLETTER, Reason.INVALID_NAME)
        letter = msgspec.json.decode(entry.value, type=DeadLetter)
        assert letter.reason == "invalid_name"
        assert letter.twin in {"", "t1"}
        assert len(entry.value) < 64 * 1024


@given(st.text(st.characters(), max_size=70))
def test_no_text_becomes_another_ones_id(text: str) -> None:
    try:
        assert check_twin_id(text) == text
    except InvalidNameError:
        return
    assert text.isascii()
    assert unicodedata.normalize("NFKC", text) == text


@given(st.text(st.sampled_from("ab1/._-#+*\0\né"), max_size=30))
def test_an_address_means_the_words_that_stand_in_it(address: str) -> None:
    route = Routes([MqttInbound(topic="p/{id}/t", type="tank")], MQTT, default_routes=True)
    for prefix in ("twins/", "p/", ""):
        found = route.resolve(prefix + address)
        if isinstance(found, Target):
            assert found.twin == (prefix + address).split("/")[1 if prefix == "p/" or address.startswith("p/") else 2]
            assert found.kind in Kind
        else:
            assert isinstance(found, Refusal | Echo)


@pytest.mark.parametrize("text", [text for text in HOSTILE if text and "\udc80" not in text], ids=ascii)
async def test_in_the_api_each_is_a_4xx(text: str) -> None:
    api = Api()
    api.row("a")
    # Dots too: a client would take "." and ".." for its own.
    name = quote(text[:8000], safe="").replace(".", "%2E")
    async with api.client() as client:
        for path in (
            f"/api/twins/box/{name}",
            f"/api/twins/{name}/a",
            f"/api/types/{name}",
            f"/api/twins/box/{name}/series/mean",
            f"/api/twins/box/a/series/{name}",
        ):
            answer = await client.get(path)
            assert 400 <= answer.status_code < 500, (path[:80], answer.status_code)
            assert answer.json()["status"] == answer.status_code
            assert answer.content.isascii()
        for path in (f"/api/twins/box/{name}/requests/reset", f"/api/twins/box/a/requests/{name}"):
            answer = await client.post(path, json={})
            assert 400 <= answer.status_code < 500, (path[:80], answer.status_code)
    assert api.writer.written == []

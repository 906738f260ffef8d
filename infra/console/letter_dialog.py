"""One dead letter, looked at."""

import base64
import contextlib
import json

from nicegui import ui

from infra.console.dialogs import closed
from infra.console.elements import Moment, text
from infra.http.letters import Entry

_SHOWN_BYTES = 16_384
_HEX_BYTES = 512


async def look_at(entry: Entry) -> None:
    """Show everything that is known of a letter until it is closed."""
    letter = entry.letter()
    with ui.dialog().props('aria-label="Dead letter"') as dialog, ui.element("div").classes("ts-card ts-letter"):
        text(letter.reason.replace("_", " "), "h2", "ts-h1")
        text(letter.detail, "p", "ts-question")
        with ui.element("dl").classes("ts-facts-list"):
            for name, value in (
                ("Type", letter.type),
                ("Twin", letter.twin),
                ("Source", letter.source),
                ("Size", f"{letter.size} B"),
                ("Id", letter.id),
            ):
                text(name, "dt")
                text(value or "not known", "dd")
            text("Arrived", "dt")
            with ui.element("dd"):
                Moment(letter.received_ns)
            if entry.redriven is not None:
                redriven = json.loads(entry.redriven)
                text("Sent again", "dt")
                text(f"{redriven['outcome'].replace('_', ' ')} {redriven.get('detail', '')}".strip(), "dd")
        text("Payload", "h3", "ts-h3")
        pre = text(payload_text(base64.b64decode(letter.raw_base64)), "pre", "ts-payload")
        pre.props.update({"tabindex": "0", "role": "region", "aria-label": "Payload"})
        close = ui.element("button").classes("ts-button")
        close.props.update({"type": "button", "innerText": "Close", "autofocus": True})
        close.on("click", lambda _: dialog.submit(None))
    await closed(dialog)


def payload_text(raw: bytes) -> str:
    """A payload for people: JSON with line breaks, other text as it is, all else as hexadecimal digits."""
    if not raw:
        return "(empty)"
    try:
        words = raw[:_SHOWN_BYTES].decode()
    except UnicodeDecodeError:
        shown = raw[:_HEX_BYTES].hex(" ")
        return shown if len(raw) <= _HEX_BYTES else f"{shown} … ({len(raw)} B)"
    with contextlib.suppress(ValueError, RecursionError):
        words = json.dumps(json.loads(raw), indent=2, ensure_ascii=False)[:_SHOWN_BYTES]
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else "\N{REPLACEMENT CHARACTER}" for letter in words
    )

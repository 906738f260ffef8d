"""The card on which a recording is dropped that becomes telemetry of a twin, with how far it is."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from aiokafka.errors import KafkaError
from nicegui import background_tasks, ui

from infra.access.grants import Scope
from infra.console.desk import Desk
from infra.console.elements import text
from infra.console.receiving import DropZone
from infra.console.sender import lacking, told_why
from infra.http import lookup, validation
from infra.http.auditing import acting
from infra.http.problems import ProblemError
from infra.recordings.reading import SUFFIXES, read_recording
from infra.recordings.sending import Progress, send_recording
from schemas.errors import SetupError
from streams.log.writer import LogWriter

_LIMIT_BYTES = 256 * 1024 * 1024
_SPEEDS = {0.0: "At once", 1.0: "Its own speed", 10.0: "10 times", 100.0: "100 times", 1000.0: "1000 times"}

Chosen = Callable[[], tuple[str, str]]
"""Type and twin that are chosen on the page."""


class RecordingCard:
    """Takes a file and sends it, one at a time.

    Args:
        desk: What pages work with.
        chosen: For whom it is.
    """

    def __init__(self, desk: Desk, chosen: Chosen) -> None:
        self._desk = desk
        self._chosen = chosen
        self._task: asyncio.Task[None] | None = None
        with ui.element("section").classes("ts-card") as card:
            card.props["aria-label"] = "Recording"
            text("Recording", "h2", "ts-h2")
            refused = lacking(desk.caller, Scope.REQUEST)
            told_why(refused)
            with ui.element("div").classes("ts-form ts-above-table"):
                self._speed = ui.select(_SPEEDS, label="Speed", value=0.0).props("dense outlined options-dense")
                self._speed.classes("ts-control")
            words = "Drop a CSV or Parquet file: a column time (nanoseconds or 2026-01-01T12:00:00Z) and the inputs."
            accept = ",".join(SUFFIXES)
            DropZone(words, "Choose a file", self._received, accept=accept, limit_bytes=_LIMIT_BYTES, refused=refused)
            self._bar = ui.element("progress").classes("ts-progress")
            self._bar.props.update({"max": "1", "value": "0", "aria-label": "How much of the recording is sent"})
            self._bar.set_visibility(False)
            self._stop = ui.element("button").classes("ts-button")
            self._stop.props.update({"type": "button", "innerText": "Stop"})
            self._stop.on("click", lambda _: self._task.cancel() if self._task else None)
            self._stop.set_visibility(False)
            self._said = text("", "p", "ts-outcome")
            self._said.props["role"] = "status"
        card.client.on_delete(self._cancel)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _received(self, _: Path, files: list[Path]) -> None:
        if self._task is not None:
            self._say("refused", "Another recording is being sent: stop it first.")
            return
        kept = Path(tempfile.mkdtemp(prefix="twinstream-recording-"))
        file = kept / files[0].name
        shutil.move(files[0], file)  # what was received goes when this returns
        self._task = background_tasks.create(self._send(kept, file), name="recording", handle_exceptions=False)

    async def _send(self, kept: Path, file: Path) -> None:
        type_name, twin = self._chosen()
        latest = Progress()
        self._bar.set_visibility(True)
        self._stop.set_visibility(True)
        try:
            latest = await self._sent(file, type_name, twin, latest)
            left_out = f"; {latest.left_out:,} rows are no records: {latest.faults[0]}" if latest.left_out else ""
            self._say("done", f"{latest.sent:,} records sent to {twin}{left_out}")
        except asyncio.CancelledError:
            self._say("open", f"Stopped after {latest.sent:,} records.")
        except ProblemError as error:
            self._say("refused", error.detail)
        except (SetupError, KafkaError) as error:
            self._say("refused", str(error).replace(str(kept) + "/", "") or type(error).__name__)
        finally:
            self._task = None
            self._bar.set_visibility(False)
            self._stop.set_visibility(False)
            shutil.rmtree(kept, ignore_errors=True)

    async def _sent(self, file: Path, type_name: str, twin: str, latest: Progress) -> Progress:
        services, settings = self._desk.services, self._desk.settings
        definition = lookup.deployed(services, type_name).definition
        validation.twin_id(twin)
        self._say("open", "Reading the file…")
        total = await asyncio.to_thread(lambda: sum(1 for _ in read_recording(file, definition)))
        speed = float(self._speed.value or 0.0) or None

        def told(progress: Progress) -> None:
            latest.sent, latest.left_out, latest.faults = progress.sent, progress.left_out, progress.faults
            done = progress.sent + progress.left_out
            self._bar.props["value"] = f"{done / max(1, total):.4f}"
            self._bar.update()
            self._say("open", f"{done:,} of {total:,} records")

        content = {"file": file.name, "records": total}
        async with (
            acting(services, self._desk.caller, Scope.REQUEST, "import a recording", type_name, twin, content),
            LogWriter(settings.kafka.options()) as writer,
        ):
            return await send_recording(
                read_recording(file, definition),
                writer,
                type_name=type_name,
                twin=twin,
                clock=services.clock,
                speed=speed,
                told=told,
            )

    def _say(self, kind: str, words: str) -> None:
        self._said.set_text(words)
        self._said.props["data-kind"] = kind
        self._said.update()

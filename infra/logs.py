"""Log lines of a role: JSON in `logs/{role}.log` and in the log topic, short lines for people on the console."""

import logging
import logging.handlers
import os
import sys
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

from infra.kafka_outage import KafkaOutage, takes_connections
from infra.masking import Masker
from infra.printable import json_line, printable
from schemas.clock import NS_PER_S, Clock, SystemClock

OWN_LOGGERS = ("schemas", "streams", "twins", "connectors", "infra")
_FILE_BYTES = 20 * 1024 * 1024
_FILES_KEPT = 3
_BACKLOG_LINES = 2000
_REPEAT_S = 30.0
_LINE_BYTES = 256 * 1024
_DECIDED = "twinstream_decided"


class Backlog(logging.Handler):
    """Lines on their way to the log topic; bounded, the oldest go first and are counted."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[bytes] = deque()
        self.dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Queue one line."""
        # What the Kafka client says while lines are shipped would feed itself.
        if record.name.startswith(("aiokafka", "kafka", "streams.log.writer")):
            return
        if len(self.lines) >= _BACKLOG_LINES:
            self.lines.popleft()
            self.dropped += 1
        self.lines.append(self.format(record).encode()[:_LINE_BYTES])


class RepeatFilter(logging.Filter):
    """Lets a library's line through once in a while: some repeat it at every attempt to reconnect."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._last_s: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is passed on."""
        if is_own(record.name):
            return True
        # Every handler asks about the same record: it is decided once.
        if (decided := getattr(record, _DECIDED, None)) is None:
            key = (record.name, str(record.msg))
            now_s = self._clock.monotonic_s()
            decided = now_s - self._last_s.get(key, -_REPEAT_S) >= _REPEAT_S
            if decided:
                self._last_s[key] = now_s
            setattr(record, _DECIDED, decided)
        return bool(decided)


class ConsoleFilter(logging.Filter):
    """Our own lines; of libraries only what ends the process."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether people should see the line."""
        return is_own(record.name) or record.levelno >= logging.CRITICAL


def is_own(logger: str) -> bool:
    """Whether a logger is one of ours."""
    return logger.partition(".")[0] in OWN_LOGGERS


def configure(
    role: str,
    *,
    log_dir: Path | None,
    level: str = "info",
    secrets: Iterable[str] = (),
    console: TextIO | None = sys.stdout,
    console_level: int = logging.INFO,
    console_json: bool = False,
    backlog: Backlog | None = None,
    clock: Clock | None = None,
    kafka: str = "",
) -> None:
    """Set up logging of this process: structlog and the standard library's loggers take the same way.

    Args:
        role: Named in every line.
        log_dir: Folder of the file; None writes none.
        level: Lowest level of our own lines; libraries begin at warning.
        secrets: Never shown.
        console: Where lines for people go; None for nowhere.
        console_level: Lowest level of lines for people.
        console_json: Whether the console too gets JSON.
        backlog: Receives what is to go to the log topic.
        clock: Stamps the lines.
        kafka: `host:port[,host:port…]` of the brokers whose outages are told; `""` for none.
    """
    clock = clock or SystemClock()
    masker = Masker(secrets)

    def stamp(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        # A record of another library's logger is formatted by each handler: it has one time, too.
        record = event.get("_record")
        time_s = clock.now_ns() / NS_PER_S if record is None else record.created
        event["time"] = datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds")
        event["role"], event["pid"] = role, os.getpid()
        return event

    def mask(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        masked: EventDict = masker.value(event)
        return masked

    before: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        stamp,
    ]
    strip = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    as_json = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=before,
        processors=[strip, structlog.processors.format_exc_info, mask, structlog.processors.JSONRenderer(_dumps)],
    )
    as_line = structlog.stdlib.ProcessorFormatter(foreign_pre_chain=before, processors=[strip, _no_trace, mask, _line])

    handlers: list[logging.Handler] = []
    if log_dir is not None:
        handlers.append(_file_handler(log_dir / f"{role.replace(':', '-')}.log"))
    if backlog is not None:
        handlers.append(backlog)
    for handler in handlers:
        handler.setFormatter(as_json)
    if console is not None:
        people = logging.StreamHandler(console)
        people.setLevel(console_level)
        people.addFilter(ConsoleFilter())
        people.setFormatter(as_json if console_json else as_line)
        handlers.append(people)
    _add_filters(handlers, clock, kafka)

    root = logging.getLogger()
    root.handlers[:] = handlers or [logging.NullHandler()]
    root.setLevel(logging.WARNING)
    for name in OWN_LOGGERS:
        logging.getLogger(name).setLevel(level.upper())
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *before,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _add_filters(handlers: Iterable[logging.Handler], clock: Clock, kafka: str) -> None:
    filters: list[logging.Filter] = [RepeatFilter(clock)]
    if kafka:
        filters.insert(0, KafkaOutage(partial(takes_connections, kafka), clock))
    for handler in handlers:
        for one in filters:
            handler.addFilter(one)


def _file_handler(path: Path) -> logging.Handler:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    return logging.handlers.RotatingFileHandler(path, maxBytes=_FILE_BYTES, backupCount=_FILES_KEPT, encoding="utf-8")


def _dumps(event: object, **_: object) -> str:
    return json_line(event)


def _no_trace(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A trace is for the file; people get the error."""
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    if isinstance(info, tuple) and info[1] is not None and "error" not in event:
        event["error"] = repr(info[1])
    return event


def _line(_: WrappedLogger, __: str, event: EventDict) -> str:
    known = {"time", "level", "role", "event", "logger", "pid", "exception", "stack", "timestamp"}
    rest = " ".join(f"{key}={value}" for key, value in event.items() if key not in known)
    level = "" if event["level"] == "info" else f" {event['level'].upper()}:"
    clock_time = event["time"][11:19]
    return printable(f"{clock_time} {event['role']}{level} {event['event']}{' · ' + rest if rest else ''}")

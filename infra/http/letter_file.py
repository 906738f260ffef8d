"""The file that dead letters are kept in: SQLite, made anew when it can't be read."""

import sqlite3
from pathlib import Path

import structlog

_TABLES = """
CREATE TABLE IF NOT EXISTS letters (
    id TEXT PRIMARY KEY, written_ms INTEGER, place INTEGER, position INTEGER, turn_ms INTEGER,
    type TEXT, reason TEXT, received_ns INTEGER, value BLOB);
CREATE INDEX IF NOT EXISTS by_time ON letters (written_ms, place, position, type, reason, received_ns);
CREATE INDEX IF NOT EXISTS by_turn ON letters (turn_ms, place, position, type, reason, received_ns);
CREATE TABLE IF NOT EXISTS notes (
    id TEXT PRIMARY KEY, outcome TEXT, position INTEGER, value BLOB, purged_ns INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS positions (place INTEGER PRIMARY KEY, next INTEGER, turn_ms INTEGER);
CREATE TABLE IF NOT EXISTS counts (type TEXT, reason TEXT, number INTEGER, PRIMARY KEY (type, reason));
CREATE TABLE IF NOT EXISTS refusals (
    type TEXT, source TEXT, number INTEGER, PRIMARY KEY (type, source));
CREATE TABLE IF NOT EXISTS log (id TEXT PRIMARY KEY);
"""

log = structlog.get_logger(__name__)


def opened(file: Path | None) -> sqlite3.Connection:
    """Open the file and make its tables; in memory for None, or where no file can be."""
    try:
        return _connected(file)
    except sqlite3.OperationalError as error:
        log.warning("no file for dead letters, they are kept in memory", file=str(file), error=str(error))
        return _connected(None)
    except sqlite3.DatabaseError as error:
        if file is None:
            raise
        log.warning("the file of dead letters can't be read, the topic is read again", file=str(file), error=str(error))
        file.unlink()
        return _connected(file)


def _connected(file: Path | None) -> sqlite3.Connection:
    base = sqlite3.connect(file or ":memory:", check_same_thread=False, isolation_level=None)
    try:
        # What a power cut takes is read again: position and letters are written together.
        base.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; {_TABLES}")
    except BaseException:
        base.close()
        raise
    return base

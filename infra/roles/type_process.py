"""The process around a type's worker: its logs, and how it ends."""

import structlog

from infra.roles import type_worker
from infra.roles.role import BROKEN, FAILED, RoleLogs
from infra.settings import Settings
from schemas.errors import TwinstreamError

log = structlog.get_logger(__name__)


def run_type(type_name: str, settings: Settings) -> int:
    """Step one type, by its qualified name, in this process until told to stop; returns the exit code."""
    with RoleLogs(type_worker.role_name(type_name), settings):
        try:
            return type_worker.run(type_name, settings)
        except TwinstreamError as error:
            for line in str(error).splitlines():
                log.error("can't work", error=line)  # noqa: TRY400 - the message says it all
            return FAILED
        except Exception:
            log.exception("ended by an unexpected error")
            return BROKEN

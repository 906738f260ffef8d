"""Asking workers to compile a version before it is put into force."""

import asyncio
from collections.abc import Iterator

import msgspec
import structlog

from infra.deployment.switching import write_record
from schemas.deployment import CANDIDATE, REPORT, Deployment, Report, key
from schemas.errors import DefinitionError, Problem, SetupError
from streams.log.writer import LogWriter
from twins.catalogue import Catalogue

COMPILE_TIMEOUT_S = 60.0
_WITHDRAW_TIMEOUT_S = 5.0

log = structlog.get_logger(__name__)


class NoAnswerError(SetupError):
    """No worker has said in time what it makes of a version; nothing has changed."""


async def ask(writer: LogWriter, candidate: Deployment) -> None:
    """Ask all workers; `withdraw` ends it."""
    await write_record(writer, key(CANDIDATE, candidate.type), msgspec.json.encode(candidate))


async def compiled(catalogue: Catalogue, candidate: Deployment, patience_s: float) -> str:
    """Wait for the first worker that compiled it; return its name.

    Raises:
        DefinitionError: it could not.
        NoAnswerError: none says anything in time.
        SetupError: another deployment came between.
    """

    def look() -> Report | None:
        answer = next(_answers(catalogue, candidate), None)
        if answer is None and catalogue.is_over(candidate):
            raise overtaken(candidate)
        return answer

    try:
        async with asyncio.timeout(patience_s):
            report = await catalogue.until(look)
    except TimeoutError:
        message = (
            f"no worker has compiled {candidate.type} {candidate.version} within {patience_s:.0f} s, and nothing has"
            " changed"
        )
        raise NoAnswerError(message) from None
    if report.problems:
        raise DefinitionError([Problem(**msgspec.structs.asdict(problem)) for problem in report.problems])
    return report.worker


async def withdraw(writer: LogWriter, catalogue: Catalogue, candidate: Deployment) -> None:
    """Ask nobody any more, and keep no answers; what stays behind when Kafka is away does no harm."""
    done = [key(REPORT, report.hash, report.worker) for report in _answers(catalogue, candidate)]
    if not catalogue.is_over(candidate):
        done.append(key(CANDIDATE, candidate.type))
    try:
        async with asyncio.timeout(_WITHDRAW_TIMEOUT_S):
            for record_key in done:
                await write_record(writer, record_key, None)
    except Exception as error:  # noqa: BLE001 - what became of the deployment is told, not this
        log.warning("a candidate could not be withdrawn", type=candidate.type, error=repr(error))


def overtaken(candidate: Deployment) -> SetupError:
    """What who deploys is told when somebody else was quicker."""
    message = (
        f"another deployment of {candidate.type} came between, and this one has changed nothing:"
        " look at `twinstream types --history` and try again"
    )
    return SetupError(message)


def _answers(catalogue: Catalogue, candidate: Deployment) -> Iterator[Report]:
    return (report for report in catalogue.reports(candidate.hash) if report.asked_ns == candidate.time_ns)

"""Compiling what is to be deployed, in the background, and saying what came of it."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import asdict

import msgspec
import structlog

from infra.deployment.switching import write_record
from schemas import deployment as messages
from schemas.deployment import REPORT, Deployment, Report, key
from schemas.errors import Problem
from streams.log.client import KafkaOptions
from streams.log.writer import LogWriter
from twins.catalogue import Catalogue

RETRY_S = 2.0
log = structlog.get_logger(__name__)

Compile = Callable[[Deployment], Awaitable[list[Problem] | None]]
"""Compiles a candidate; its faults, empty for none, or None when it is somebody else's to tell."""


async def answer_candidates(options: KafkaOptions, catalogue: Catalogue, compile_: Compile) -> None:
    """Compile every candidate once and report, until cancelled."""
    answered: dict[str, int] = {}
    worker = f"{socket.gethostname()}:{os.getpid()}"
    while True:

        def look() -> Deployment | None:
            found = catalogue.candidates().values()
            return next((one for one in found if answered.get(one.type) != one.time_ns and _there(one)), None)

        def _there(candidate: Deployment) -> bool:
            return catalogue.bundle(candidate.hash) is not None

        candidate = await catalogue.until(look)
        answered[candidate.type] = candidate.time_ns
        try:
            problems = await compile_(candidate)
        except Exception as error:  # who deploys must hear of it, and the worker goes on
            log.exception("candidate could not be compiled", type=candidate.type, version=candidate.version)
            problems = [Problem("", 0, "", f"a worker failed on it: {error!r}", "see the worker's log")]
        if problems is None:
            continue
        log.info("candidate compiled", type=candidate.type, version=candidate.version, problems=len(problems))
        report = Report(
            hash=candidate.hash,
            asked_ns=candidate.time_ns,
            worker=worker,
            problems=[messages.Problem(**asdict(problem)) for problem in problems],
        )
        while not catalogue.is_over(candidate):
            try:
                await _tell(options, report)
                break
            except Exception as error:  # noqa: BLE001 - it would be the last answer that this worker gives
                log.warning("a report could not be written, trying again", type=candidate.type, error=repr(error))
                await asyncio.sleep(RETRY_S)


async def _tell(options: KafkaOptions, report: Report) -> None:
    async with LogWriter(options) as writer:
        await write_record(writer, key(REPORT, report.hash, report.worker), msgspec.json.encode(report))

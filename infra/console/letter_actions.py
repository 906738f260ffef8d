"""Sending dead letters once more and removing them, on behalf of a viewer."""

from infra.access.caller import Caller
from infra.access.grants import Scope
from infra.console.asking import Outcome
from infra.http.auditing import acting
from infra.http.letters import Place, Selection
from infra.http.problems import ProblemError
from infra.http.services import LogUnavailableError, Services

_TURNS, _OF_A_TURN = 100, 1_000


async def send_again(services: Services, caller: Caller, wanted: Selection, *, refused_again: bool) -> Outcome:
    """Send letters once more, oldest first.

    Args:
        services: Of the API.
        caller: Who wants it.
        wanted: Which.
        refused_again: Also those that were sent before and refused again.
    """
    sent, again, after = 0, 0, None
    unable: list[str] = []
    try:
        async with acting(services, caller, Scope.DEPLOY, "redrive", wanted.type, "", _told(wanted)):
            for _ in range(_TURNS):
                done = await services.letter_sender.redrive(
                    wanted, refused_again=refused_again, after=after, limit=_OF_A_TURN
                )
                sent += len(done.sent)
                unable += [why for _, why in done.unable]
                again += done.refused_again
                if done.next is None:
                    break
                after = Place.parse(done.next)
    except ProblemError as error:
        return Outcome("refused", error.detail)
    except LogUnavailableError as error:
        return Outcome("refused", f"{sent} were sent, then: {error}. Ask again, nothing is sent twice.")
    words = f"{sent} sent again."
    if unable:
        words += f" {len(unable)} can't be sent: {unable[0]}."
    if again:
        words += f" {again} were refused again before: select them to try once more."
    return Outcome("done" if sent or not unable else "refused", words)


async def remove(services: Services, caller: Caller, wanted: Selection) -> Outcome:
    """Remove letters for good."""
    removed = 0
    try:
        async with acting(services, caller, Scope.ADMIN, "purge", wanted.type, "", _told(wanted)):
            for _ in range(_TURNS):
                ids = await services.letter_sender.purge(wanted, limit=_OF_A_TURN)
                removed += len(ids)
                if not ids:
                    break
    except ProblemError as error:
        return Outcome("refused", error.detail)
    except LogUnavailableError as error:
        return Outcome("refused", f"{removed} were removed, then: {error}")
    return Outcome("done", f"{removed} removed.")


def _told(wanted: Selection) -> dict[str, object]:
    return {"type": wanted.type, "reason": wanted.reason, "ids": list(wanted.ids)}

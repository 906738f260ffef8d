"""Something that goes on while something else is done."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager


@asynccontextmanager
async def meanwhile(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run `work` while entered, and cancel it at the end.

    Raises:
        Exception: what `work` ended with before.
    """
    task = asyncio.create_task(work)
    await asyncio.sleep(0)
    try:
        yield
    finally:
        if not task.done():
            task.cancel()
        (result,) = await asyncio.gather(task, return_exceptions=True)
    if isinstance(result, Exception):
        raise result

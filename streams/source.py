"""The engine's hold on Faust's consumer: pausing, seeking and asking about partitions of the input topic."""

import contextlib
from typing import Any

import structlog
from aiokafka.consumer.group_coordinator import GroupCoordinator
from faust.types import TP, AppT

log = structlog.get_logger(__name__)


class Source:
    """The input topic as this worker's consumer sees it."""

    def __init__(self, app: AppT, topic: str) -> None:
        self._app = app
        self._topic = topic
        self._denied = ""

    def assigned(self) -> frozenset[int]:
        """Partitions that the group gave to this worker."""
        return frozenset(tp.partition for tp in self._app.consumer.assignment() if tp.topic == self._topic)

    def pause(self, partition: int) -> None:
        """Fetch nothing more of a partition; blocks already fetched may still come."""
        self._app.consumer.pause_partitions({TP(self._topic, partition)})

    def resume(self, partition: int) -> None:
        """Fetch a partition again."""
        if partition in self.assigned():
            self._app.consumer.resume_partitions({TP(self._topic, partition)})

    async def seek(self, partition: int, position: int) -> None:
        """Read on at `position`. A rebalance at the same moment seeks by itself."""
        try:
            await self._app.consumer.seek(TP(self._topic, partition), position)
        except Exception as error:  # noqa: BLE001 - aiokafka raises several kinds for a partition that was taken away
            log.info("seek was overtaken by a rebalance", partition=partition, error=repr(error))

    def is_refused(self) -> bool:
        """Whether the group can't be joined: its coordinator is away, or denies it; asked from any thread.

        Who was denied is made to ask again: aiokafka waits until somebody polls, which Faust does for partitions alone.
        """
        made = self._app._consumer  # noqa: SLF001 - asked for by its name, Faust would make it here
        thread: Any = None if made is None else made._thread  # noqa: SLF001
        coordinator = getattr(thread and thread._consumer, "_coordinator", None)  # noqa: SLF001
        if not isinstance(coordinator, GroupCoordinator):
            return False  # it did not begin to join
        if coordinator._pending_exception is not None:  # noqa: SLF001
            with contextlib.suppress(RuntimeError):  # the consumer's thread has just ended
                thread.thread_loop.call_soon_threadsafe(self._ask_again, coordinator)
            return True
        return coordinator.coordinator_id is None

    def _ask_again(self, coordinator: GroupCoordinator) -> None:
        try:
            coordinator.check_errors()
        except Exception as error:  # noqa: BLE001 - whatever it was, it is tried again
            if self._denied != repr(error):
                self._denied = repr(error)
                log.warning("the group can't be joined, trying again", error=self._denied)

    def rejoin(self) -> None:
        """Join the group anew, as a member that has something new to tell does."""
        thread = self._app.consumer._thread  # noqa: SLF001 - Faust has no word for it
        consumer = thread._consumer  # noqa: SLF001
        if consumer is not None:
            # aiokafka lives in a thread of Faust's.
            thread.thread_loop.call_soon_threadsafe(consumer._coordinator.request_rejoin)  # noqa: SLF001

    def lag(self, partition: int, position: int) -> int:
        """Offsets between `position` and the end of the input, as the latest fetch told it; 0 while unknown."""
        end = self.end(partition)
        return 0 if end is None else max(0, end - position)

    def end(self, partition: int) -> int | None:
        """End of the input as the latest fetch told it; None while unknown."""
        try:
            found: int | None = self._app.consumer.highwater(TP(self._topic, partition))
        except Exception as error:  # noqa: BLE001 - aiokafka asserts that the partition is assigned, and it was taken away
            log.debug("end of a partition is not known", partition=partition, error=repr(error))
            return None
        return found

    async def earliest(self, partition: int) -> int:
        """First offset that retention left."""
        source = TP(self._topic, partition)
        found: int = (await self._app.consumer.earliest_offsets(source))[source]
        return found

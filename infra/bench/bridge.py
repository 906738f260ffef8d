"""`twinstream bench bridge`: what a bridge costs beside a client that only receives and acknowledges.

Every contestant drains what lies at the broker for it: a session of Mosquitto at QoS 1, a queue of RabbitMQ. So it
gets as much as it can take, and the load generator does not run beside it.
"""

import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from infra.bench.backlogs import Backlogs
from infra.bench.peers import TELEGRAF
from infra.bench.report import OURS, Result
from infra.bench.stages import Stages
from infra.bench.turns import EachTurn, Turn, never_enough, take_turns
from infra.embedded.kafka import EmbeddedKafka
from streams.log.client import KafkaOptions

if TYPE_CHECKING:
    from infra.bench.job import Finished

MQTT, AMQP = "mqtt", "amqp"
TWO = f"{OURS}-two-processes"
PEER = "telegraf"
"""Takes part where `bench peers` has it."""
PAHO, AIO_PIKA = "bare-paho", "bare-aio-pika"

LABELS = {
    (MQTT, OURS): "bridge, MQTT QoS 1 to Kafka with acks=all",
    (MQTT, TWO): "two such bridges, a type each",
    (MQTT, PEER): "Telegraf, MQTT QoS 1 to Kafka with acks=all, at least once",
    (MQTT, PAHO): "paho: receives and acknowledges",
    (AMQP, OURS): "bridge, AMQP to Kafka with acks=all",
    (AMQP, AIO_PIKA): "aio-pika: receives and acknowledges",
}


async def measure(
    messages: int,
    repeat: int,
    brokers: Sequence[str] = (MQTT, AMQP),
    *,
    each_turn: EachTurn = never_enough,
) -> list[Result]:
    """Drain backlogs of so many messages.

    Args:
        messages: In each backlog.
        repeat: Runs of each contestant; they take turns.
        brokers: `mqtt`, `amqp`.
        each_turn: Called after each turn.

    Raises:
        SetupError: Kafka can't be had.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="twinstream-bench-")))
        shown = stack.enter_context(Stages())
        shown.begin("starting servers", 1)
        kafka = await stack.enter_async_context(EmbeddedKafka(folder, port=0))
        backlogs = Backlogs(KafkaOptions(kafka.bootstrap_servers), folder, messages, shown.begin, stack)
        runs: dict[tuple[str, str], Callable[[], Awaitable[Finished]]] = {
            (MQTT, OURS): partial(backlogs.mqtt_bridges, 1),
            (MQTT, TWO): partial(backlogs.mqtt_bridges, 2),
            (MQTT, PEER): backlogs.telegraf,
            (MQTT, PAHO): backlogs.paho,
            (AMQP, OURS): backlogs.amqp_bridge,
            (AMQP, AIO_PIKA): backlogs.aio_pika,
        }
        turns = [
            Turn(name, LABELS[broker, name], broker, run)
            for (broker, name), run in runs.items()
            if broker in brokers and (name != PEER or TELEGRAF.is_there)
        ]
        return await take_turns(turns, repeat, shown, each_turn=each_turn)

"""Every scenario, in its long form with the figures that are promised, and in a short one for every day."""

from faults.run import Scenario
from faults.scenarios.bridge_kills import ClassicQueueBridgeKills, MqttBridgeKills, QuorumQueueBridgeKills
from faults.scenarios.broken_wires import BrokenWires
from faults.scenarios.clean_stops import CleanStops
from faults.scenarios.clock_jumps import ClockJumps
from faults.scenarios.full_disk import FullDisk
from faults.scenarios.kafka_away import KafkaAway
from faults.scenarios.loud_twin import LoudTwin
from faults.scenarios.poison import Poison
from faults.scenarios.soak import Soak
from faults.scenarios.stores_away import StoresAway
from faults.scenarios.take_over import TakeOver
from faults.scenarios.worker_bounces import WorkerBounces
from faults.scenarios.zombies import FrozenInTransaction, Zombies

LONG: tuple[Scenario, ...] = (
    WorkerBounces(),
    Zombies(),
    FrozenInTransaction(),
    CleanStops(),
    TakeOver(),
    MqttBridgeKills(),
    ClassicQueueBridgeKills(per_second=2000),
    QuorumQueueBridgeKills(per_second=2000),
    KafkaAway(),
    Poison(),
    LoudTwin(),
    BrokenWires(),
    ClockJumps(),
    StoresAway(),
    FullDisk(),
    Soak(),
)

SHORT_ENGINE: tuple[Scenario, ...] = (
    WorkerBounces(records=6000, rounds=2, broker_rounds=1),
    Zombies(rounds=1, records=2000),
    FrozenInTransaction(records=1000),
    CleanStops(rounds=1),
    TakeOver(rows=5000, fill_per_second=5000, per_second=200),
    Poison(records=20_000, pairs=3),
    LoudTwin(per_second=500, seconds=4, pairs=1),
    ClockJumps(jumps=2, seconds=3),
)

SHORT_BRIDGES: tuple[Scenario, ...] = (
    MqttBridgeKills(records=9000, kills=3, per_second=1500),
    ClassicQueueBridgeKills(records=4000, kills=2, per_second=1000),
    QuorumQueueBridgeKills(records=4000, kills=2, per_second=1000),
    KafkaAway(away_s=8, per_second=500, before_s=3),
    BrokenWires(rounds=1, per_second=200),
    Soak(minutes=0.5, per_second=300, rebalance_every_minutes=0.15),
)

SHORT_STORES: tuple[Scenario, ...] = (
    StoresAway(away_s=8, per_second=100),
    FullDisk(full_s=5, per_second=100),
)

SHORT = (*SHORT_ENGINE, *SHORT_BRIDGES, *SHORT_STORES)


def name_of(scenario: Scenario) -> str:
    """`WorkerBounces` is called `worker-bounces`."""
    name = type(scenario).__name__
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("-")


def claim_of(scenario: Scenario) -> str:
    """What it claims, one sentence."""
    return (type(scenario).__doc__ or "").strip().partition("\n")[0]

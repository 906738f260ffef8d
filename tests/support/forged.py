"""Addresses that are not a device's own: what a hostile device tries to publish to."""

import itertools
import random

OWN = ("incubator", "one")


def forged_topics(count: int, seed: int = 1) -> list[str]:
    """MQTT topics, all different, none of them an address that the device `incubator/one` may publish to."""
    chosen = random.Random(seed)
    types = [
        "incubator",
        "incubator2",
        "incubato",
        "tank",
        "plant-incubator",
        "Incubator",
        "\u0131ncubator",
        "*",
        "..",
        "%u",
        "",
    ]
    twins = [
        "one",
        "two",
        "one2",
        "on",
        "One",
        "\u043ene",
        "\uff4fne",
        "one\u200b",
        "..",
        "*",
        "%c",
        "%u",
        "one ",
        "one.x",
        "",
    ]
    ends = [
        ("telemetry",),
        ("telemetry", ""),
        ("telemetry", "x"),
        ("Telemetry",),
        ("commands", "heater"),
        ("events", "too_hot"),
        ("requests", "reset"),
        ("requests", "release"),
        ("acks", "heater"),
        ("acks", "heater", "x"),
        ("acks",),
        ("$SYS", "x"),
        (),
    ]
    roots = ["twins", "Twins", "", "twins/", "$SYS", "$share/g/twins", "a/../twins", "/twins", "twins/."]
    everything = [
        "/".join((root, kind, twin, *end)) for root, kind, twin, end in itertools.product(roots, types, twins, ends)
    ]
    # What only another device may say comes first, whatever the seed.
    targets = [f"twins/incubator/two/{'/'.join(end)}" for end in ends if end]
    targets += [f"twins/tank/one/{'/'.join(end)}" for end in ends if end]
    targets += ["$SYS/broker/uptime", "$SYS/broker/clients/total", "twins", "/", "x" * 60_000, f"twins/{'a/' * 100}b"]
    chosen.shuffle(everything)
    found = dict.fromkeys(targets + everything)
    return list(itertools.islice((topic for topic in found if topic and not is_own(topic)), count))


def is_own(topic: str) -> bool:
    """Whether the device may publish there."""
    words = topic.split("/")
    return words[:3] == ["twins", *OWN] and (words[3:] == ["telemetry"] or (words[3:4] == ["acks"] and len(words) == 5))

# ruff: noqa: FBT001  # arguments bear the names of the fields they are wired to
"""Sparing a machine whose bearing is faulty."""


def choose_speed(faulty: bool, speed_desired: float, speed_share: float) -> float:
    """Choose the speed: the desired one, or a share of it with a faulty bearing.

    Args:
        faulty: Whether the bearing is taken to be faulty.
        speed_desired: Speed of a sound machine in rpm.
        speed_share: Share of it that is left.

    Returns:
        The speed that the machine shall have in rpm.
    """
    return speed_desired * speed_share if faulty else speed_desired

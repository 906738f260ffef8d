"""Sparing a pump that cavitates."""


def spare(speed_needed: float, cut: float) -> float:
    """Speed in rpm that is left when a share `cut` of what is needed is taken away."""
    return speed_needed * (1.0 - cut)

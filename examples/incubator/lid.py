"""Noticing an open lid: the box no longer behaves as its model says."""


def detect(prediction_error: float, records_filtered: int, lid_threshold: float, settle_records: int) -> bool:
    """Tell whether the lid is open.

    Args:
        prediction_error: Measured minus estimated box temperature in °C.
        records_filtered: Records since the filter was started, this one included.
        lid_threshold: Largest error with a closed lid in °C.
        settle_records: The error of earlier records means nothing, because the start values are a guess.

    Returns:
        Whether the error is too large for a closed lid.
    """
    return records_filtered >= settle_records and abs(prediction_error) > lid_threshold

"""Kafka's log for everyone: options, administration, writing, reading in a group and following."""

"""Kafka's log for everyone: options, administration, writing, reading in a group and following."""

from streams.decompression import bound_aiokafka

# Whoever reads the log imports this package first.
bound_aiokafka()

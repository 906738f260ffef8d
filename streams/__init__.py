"""The engine: record blocks, rows, changelog, flush and commit. Knows no twin, and no broker but Kafka's log."""

"""Servers that benchmarks and tests start beside the embedded ones: those that people run in production."""

"""Recordings: files of values over time that become telemetry, and history that becomes a file."""

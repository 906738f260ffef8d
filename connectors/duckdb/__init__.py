"""Time series in one DuckDB file: the embedded default."""

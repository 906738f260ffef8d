"""Grafana boards and data sources, made from the definitions of twin types."""

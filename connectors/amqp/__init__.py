"""AMQP 0-9-1: telemetry, requests and acknowledgements in; commands and events out."""

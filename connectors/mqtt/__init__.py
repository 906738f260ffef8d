"""MQTT 3.1.1 and 5: telemetry, requests and acknowledgements in; commands and events out."""

"""The HTTP interface: live state, history, commands, requests and server-sent events."""

"""The console: pages for operators, served by the `api` role beside the API."""

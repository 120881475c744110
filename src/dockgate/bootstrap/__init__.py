"""The only place that builds adapters and passes them in: `scan` and `gate` for a terminal, `server` for a server."""

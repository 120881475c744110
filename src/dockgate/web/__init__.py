"""The server's HTTP endpoints: the REST API, the git host, registry tokens and notifications."""

"""The server's HTTP face: the REST API, the git host and the registry's notifications."""

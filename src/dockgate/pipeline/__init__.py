"""The durable workflows: what happens between a push and a running container. The only part, with bootstrap, on
dbos."""

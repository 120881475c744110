"""From a push to a running service: documents, executions, actions, deployments, fixes."""

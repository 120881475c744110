"""From a push to a running service: documents, executions, actions, deployments, and fixes of what was rejected."""

"""From push to running service: pipelines, their executions, approvals, fixes and services."""

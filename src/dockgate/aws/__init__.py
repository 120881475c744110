"""Dockgate inside an AWS account: `functions` run in Lambda; `stack` deploys them from a terminal."""

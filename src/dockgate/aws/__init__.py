"""Dockgate inside an AWS account: `functions` run as Lambda functions, `stack` brings them there from a terminal."""

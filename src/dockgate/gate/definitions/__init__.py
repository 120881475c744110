"""Readers of the gate's YAML: policies, their examples, policy assignments and waivers."""

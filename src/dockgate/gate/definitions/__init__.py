"""Policies, their examples, assignments and waivers: YAML that people write, as values of the gate."""

"""YAML documents that people write, as values of the core. Every error names file, line and key."""

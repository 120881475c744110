"""The box that builds run in: namespaces, limits, a network of its own, no credentials."""

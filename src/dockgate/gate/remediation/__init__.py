"""The fewest upgrades that would turn a verdict, and the commands that make them. Pure."""

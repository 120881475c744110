"""The use cases of Dockgate, one file for each group of verbs. Each is handed the adapters that it needs."""

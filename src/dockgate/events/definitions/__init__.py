"""The documents Rule and Target, read from YAML."""

"""Images: where they are and were, how they are used, and what their scans have read."""

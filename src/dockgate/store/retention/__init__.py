"""The search for rows that are no longer needed, and their removal."""

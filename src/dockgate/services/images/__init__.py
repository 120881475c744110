"""Images: read, searched, watched, asked for again. `scans.py` begins with a push or a request."""

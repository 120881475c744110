"""Bringing the gate into an account: its template, the functions' archive, deploying, and taking it away again."""

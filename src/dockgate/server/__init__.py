"""The processes of a server: starting, supervising and stopping them, and where they listen."""

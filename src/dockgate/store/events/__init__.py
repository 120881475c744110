"""What happened, which rules apply to it, and what is still to be sent because of it."""

"""Who may do what, and who did it: principals, tokens, sessions and the audit log."""

"""Who calls, and what each may do: principals, roles, permissions, tokens, audit entries.

Pure: standard library, no I/O, no clock.
"""

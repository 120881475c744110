"""Principals and their tokens, sessions of browsers, and how people sign in."""

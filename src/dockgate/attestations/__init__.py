"""Signed statements about images: in-toto statements in DSSE envelopes, and their keys."""

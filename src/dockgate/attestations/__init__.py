"""Signed statements about images, which clusters can verify without this server.

`model` has the nouns. `statements` writes what an approval leaves beside its image as an in-toto statement, and reads
it again; `dsse` signs and verifies envelopes. Both are pure: standard library and `cryptography`, no I/O, no clock.
`keys` stores the server's signing key in a folder, with the public keys of former ones.
"""

"""Sign-in by OpenID Connect: discovery, keys, the exchange of codes, ID tokens.

Authlib does the protocol's parts.
"""

"""Callers, and what each may do.

`model` has the nouns: principals, their roles and permissions, tokens, callers, audit entries. `ports` has the
interface of identity providers, `sign_in` what a browser carries there and back, and the roles that groups give.
`openid/` signs people in by OpenID Connect.
Modules in this folder are pure: standard library, no I/O, no clock.
"""

"""Vulnerabilities, and the packages that they affect.

`model` has the nouns. `matching` compares packages with advisories, `versions` orders versions, `aliases` joins
identifiers, `feed` is the interface of feeds. `feeds/` reads advisory feeds, `database/` builds, updates, exports and
queries the database.
Modules in this folder are pure: standard library, no I/O, no clock.
"""

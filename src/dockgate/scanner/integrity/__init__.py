"""Detect package metadata that was changed without its files, and layers that are not what they claim.

`checks.py` begins. `database_checks.py` compares the databases of distributions (`package_databases.py`, and
`package_history.py` for a package's entries) with the files, `language_packages.py` and `python_metadata.py` the
metadata of language packages. `layer_verification.py` compares layers with manifest and config. What they find is
unread: the rule `evidence` makes it Undetermined.
"""

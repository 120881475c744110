"""Detect package metadata that was changed without its files, and layers that are not what they claim.

`checks.py` begins. `package_databases.py` compares the databases of distributions with the files (`package_history.py`
has a package's entries), `language_packages.py` and `python_metadata.py` the metadata of language packages.
`layer_verification.py` compares layers with manifest and config. What they find is unread: the rule `evidence` makes it
Undetermined.
"""

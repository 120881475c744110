"""Values and functions that every capability uses. Nothing here knows policies or pipelines.

`errors.py` has every error with its advice, `timestamps.py` RFC 3339 times, `retry.py` the schedules of retries,
`canonical.py` and `digest.py` the bytes that are hashed and stored, `references.py` and `purl.py` names of images and
packages, `plugins.py` the search for plugins, `interfaces.py` `@override`, `escaping.py` and `wording.py` text for
people. Standard library only, except `yaml.py` (PyYAML) and `aws.py` (boto3, imported when a client is made).
"""

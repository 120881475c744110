"""Values and functions that every capability uses: errors, times, retries, canonical JSON, plugins.

Standard library only, except `yaml` (PyYAML) and `aws` (boto3, imported when a client is made). Nothing here knows
policies or pipelines.
"""

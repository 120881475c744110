"""Values and functions that every capability uses: errors, times, retries, canonical JSON, plugins.

Standard library only, except `yaml` (PyYAML). Nothing here knows images, policies or pipelines.
"""

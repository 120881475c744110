"""YAML documents that people write, as values of the core. Every error names file, line and key.

`documents.py` reads all kinds, `service.py` services, `approval_request.py` a repository's own `.dockgate.yaml`.
`pipeline_text.py` writes a pipeline as YAML.
"""

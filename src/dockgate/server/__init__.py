"""The processes of a server: starting, supervising and stopping them, and where they listen.

`bootstrap/serve.py` starts a server from them. `bind_config.py` and `connections.py` decide where and how it listens,
`daemon.py` runs it in the background. `local_programs.py` starts the registry (`registry_service.py`) and podman
(`podman_service.py`) under `supervisor.py`; `registry_storage.py` deletes blobs. `deploy_targets.py` opens the targets
of deploys. `polling.py` reads SQS queues, `registry_logins.py` makes logins for operators, `shared_folder.py` and
`private_files.py` check folders, `doctor.py` the host, `log_format.py` writes the log.
"""

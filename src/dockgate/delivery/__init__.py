"""From a commit to a running task: pipelines, approvals, deployments.

`pipeline` plans executions, `approvals` settles waiting approvals, `deployments` has services and tasks, `ports` the
interfaces of adapters. `sources/`, `builders/`, `registries/` and `targets/` hold one file an adapter, each with a
memory fake; `definitions/` reads the documents that people write.
Modules in this folder are pure: standard library, no I/O, no clock.
"""

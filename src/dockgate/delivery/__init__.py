"""From a commit to a running task: pipelines, approvals, deployments.

`model` has the nouns. `pipeline` plans executions, `approvals` answers waiting approvals, `deployments` checks services
and decides when to restart tasks, `dockerfile` finds the images that a Dockerfile names; `ports` has the interfaces of
adapters. `sources/`, `builders/`, `registries/` and `targets/` hold one file per adapter, whose fakes are in
`tests/fakes/`; `definitions/` reads the YAML documents.
Modules in this folder are pure: standard library, no I/O, no clock.
"""

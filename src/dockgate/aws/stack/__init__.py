"""Deploying the gate into an account: its template, the functions' archive, deployment and removal.

`deploy.py` and `destroy.py` begin, `status.py` and `redrive.py` are for operation. `template.yaml` is the stack,
`parameters.py` its values, `archive.py` and `stack_bucket.py` what is uploaded; `change_set.py` shows what an update
would replace, `cloudformation.py` waits. `account.py` makes the AWS clients, `permissions.py` lists what they need;
`data_resources.py` and `registry_scanning.py` handle buckets, repositories and the registry's scanning.
"""

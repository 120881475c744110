"""The Lambda functions. They need only the standard library and boto3, which the runtime has.

`handlers` has the entry points; `rendezvous` matches approvals with scans, over the table of `waits`; `looking` gets
the scan of an image or index; `verdicts` makes and stores verdicts; `running` re-evaluates the images of running
services. Code that is shared with the server is in the package above: `messages`, `pipelines`, `scans`, `indexes`,
`approval_answers`.
"""

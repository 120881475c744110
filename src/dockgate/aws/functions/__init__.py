"""What the Lambda functions do. They need the standard library and boto3, which the runtime has; nothing else.

`handlers` has the entry points, `messages` reads events, `pipelines` reads which approvals wait in CodePipeline,
`rendezvous` lets approval and scan meet over the table of `waits`, `looking` finds what there is to judge by, in
Inspector's `scans` and ECR's `indexes`, `judging` makes the verdict and keeps it, `answers` gives it, `running` looks
after what runs.
"""

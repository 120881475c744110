"""The Lambda functions. They need only the standard library and boto3, which the runtime has.

`handlers` has the entry points; `approval_matcher` matches approvals with scans, over `wait_table`; `scan_lookup` gets
the scan of an image or index; `verdicts` makes and stores verdicts; `risk_monitor` judges running images again. Code
that is shared with the server is in the package above: `messages`, `pipelines`, `scans`, `indexes`, `approval_answers`.
"""

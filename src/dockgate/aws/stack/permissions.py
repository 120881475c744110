"""The permission of each AWS call (AWS's service authorization reference).

Errors name it; docs/how-to/aws.md lists all.
"""

# By service: the operations whose permission has their name.
_OPERATIONS = {
    "cloudformation": (
        "CreateChangeSet CreateStack DeleteChangeSet DeleteStack DescribeChangeSet DescribeStackEvents "
        "DescribeStacks ExecuteChangeSet ListStackResources"
    ),
    "codecommit": "ListRepositories",
    "codepipeline": "GetPipelineState",
    "dynamodb": "Query",
    "ecr": (
        "BatchDeleteImage DescribeRepositories GetRegistryScanningConfiguration ListImages "
        "PutRegistryScanningConfiguration"
    ),
    "ecs": "DescribeServices DescribeTaskDefinition",
    "lambda": "GetAccountSettings",
    "s3": "CreateBucket DeleteBucket GetObject PutBucketLogging PutBucketPolicy PutObject",
    "sqs": "ChangeMessageVisibility DeleteMessage GetQueueAttributes ReceiveMessage",
    "ssm": "GetParameter",
    "sts": "GetCallerIdentity",
}
# By the operation's name.
ACTIONS = {
    operation: f"{service}:{operation}" for service, names in _OPERATIONS.items() for operation in names.split()
} | {
    "DeleteObjects": "s3:DeleteObjectVersion",
    "DeleteRepository": "ecr:DeleteRepository or codecommit:DeleteRepository",
    "HeadBucket": "s3:ListBucket",
    "Invoke": "lambda:InvokeFunction",
    "ListObjectVersions": "s3:ListBucketVersions",
    "PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
}

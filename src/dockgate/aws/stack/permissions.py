"""Which permission each call of ours needs (AWS's service authorization reference): an error names it, and docs/aws.md
lists it."""

ACTIONS = {
    "BatchDeleteImage": "ecr:BatchDeleteImage",
    "CreateBucket": "s3:CreateBucket",
    "CreateStack": "cloudformation:CreateStack",
    "DeleteBucket": "s3:DeleteBucket",
    "DeleteObjects": "s3:DeleteObjectVersion",
    "DeleteStack": "cloudformation:DeleteStack",
    "DescribeServices": "ecs:DescribeServices",
    "DescribeStackEvents": "cloudformation:DescribeStackEvents",
    "DescribeStacks": "cloudformation:DescribeStacks",
    "DescribeTaskDefinition": "ecs:DescribeTaskDefinition",
    "GetCallerIdentity": "sts:GetCallerIdentity",
    "GetObject": "s3:GetObject",
    "GetParameter": "ssm:GetParameter",
    "GetPipelineState": "codepipeline:GetPipelineState",
    "GetQueueAttributes": "sqs:GetQueueAttributes",
    "GetRegistryScanningConfiguration": "ecr:GetRegistryScanningConfiguration",
    "HeadBucket": "s3:ListBucket",
    "ListImages": "ecr:ListImages",
    "ListObjectVersions": "s3:ListBucketVersions",
    "ListStackResources": "cloudformation:ListStackResources",
    "PutObject": "s3:PutObject",
    "PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "PutRegistryScanningConfiguration": "ecr:PutRegistryScanningConfiguration",
    "Query": "dynamodb:Query",
    "UpdateStack": "cloudformation:UpdateStack",
}
"""by the operation's name"""

"""Exit codes of commands that have a verdict as their result."""

SUCCEEDED, REJECTED, FAILED, UNDETERMINED = 0, 1, 2, 3

"""A kept verdict judged again, and two verdicts or policies compared. Pure.

`case_file.py` writes a verdict with all its inputs, reads it and judges it again. `explain.py` says which inputs make
two verdicts differ, with the cases of `case_diff.py`. `policy_diff.py` compares a candidate policy with the enforced
one.
"""

"""The documents Rule and Target, from YAML to values of `events`.

`rule.py` reads which events go to which targets, `target.py` where a target is and how to reach it.
"""

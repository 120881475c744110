"""Readers of the gate's YAML, from text to values of the gate.

`policy.py` reads policies, `examples.py` their examples, `assignment.py` policy assignments, `waivers.py` files of
waivers. `fields.py` has fields that several documents share, `validation.py` turns pydantic's errors into ours.
"""

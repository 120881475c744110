"""The fewest upgrades that would turn a verdict, and the commands that make them. Pure.

`search.py` begins: `upgrade_candidates.py` lists the versions of each package, `set_cover.py` chooses the fewest
upgrades, `result.py` describes them and what remains.
"""

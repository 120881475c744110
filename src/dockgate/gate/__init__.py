"""The decision whether an image may run.

`model` has the nouns, `evaluate` judges an image by a policy, `waivers` and `vex_statements` accept findings,
`remediation/` finds the upgrades that would turn a verdict, `replay/` judges a kept case again. `rules/` holds one file
a rule, `external/` and `vex_formats/` one file a format, `definitions/` reads policies as people write them.
Modules in this folder are pure: standard library, no I/O, no clock.
"""

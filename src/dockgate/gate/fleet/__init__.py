"""Judge a fleet of images at once, by sums of what counts in their components. Pure.

`judge.py` begins: it gives the same status as `gate/evaluate.py`, without an inventory for each image. `model.py` has
components, bundles and images, `component_counts.py` the counts of each component, `exemption_index.py` the waivers and
VEX statements of each image, `finding_lists.py` asks the rules that need findings instead of sums.

Why sums give the gate's verdict: what a rule with sums says depends on numbers only, and `Rule.count` makes them from
the findings of one component. A finding counts or not by its component, the origin of its layer (base or own), the
waivers and statements, and the time; nothing else in the image matters. So the numbers of an image are the sum over its
components, each as often as it has paths, and `Rule.judge_counts` compares the sum with the limits as `Rule.judge`
compares the list. What a rule depends on (`RuleDependency`) says how it is asked:

- sums (FINDING_SUMS, PACKAGE_SUMS): `component_counts.py`.
- facts of the platform without packages (EVIDENCE, IMAGE): the rule itself, once for all platforms with equal facts.
- findings (FINDINGS, IMAGE_AND_FINDINGS): the rule itself, with the findings of the components (`finding_lists.py`).
- PACKAGES: not here, sums are not exact.

Where sums are not exact, `FleetJudge` gives no result (None). Then `services/fleet/indexed_image_judge.py` judges the
image from its inventory by `gate/evaluate.py`: also where a waiver names a rule with sums (it has to read the message),
where a statement or waiver depends on packages of the image, and where the gate would not list all findings.
`tests/gate/fleet/test_fleet_properties.py` compares both ways on random fleets.
"""

"""Judge a fleet of images at once, by sums of what counts in their components. Pure.

`judge.py` begins: it gives the same status as `gate/evaluate.py`, without an inventory for each image. `model.py` has
components, bundles and images, `component_counts.py` the counts of each component, `contexts.py` the waivers of each
image, `finding_lists.py` asks the rules that need findings instead of sums.
"""

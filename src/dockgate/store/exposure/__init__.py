"""The images with a vulnerability or a package, now or at a time in the past.

`component_search.py` finds the components, `images.py` the images that have them, `vulnerability_lists.py` lists
vulnerabilities and packages. `records.py` has questions and results.
"""

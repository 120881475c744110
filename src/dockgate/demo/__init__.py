"""The demo of `dockgate demo`: it runs public commands with example files.

`story.py` plays it: an image that the policy rejects, a fixed one that is approved and runs. `base_image.py` builds the
base image without a public registry, `demo_folder.py` has the folder and ports, `terminal.py` prints the steps.
"""

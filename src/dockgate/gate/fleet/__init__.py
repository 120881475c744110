"""Judge a fleet of images at once, by sums of what counts in their components."""

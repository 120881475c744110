"""Judge a fleet of images at once, by sums of what components weigh under a policy."""

"""Judge a fleet of images at once: what components weigh under a policy, and the verdicts that the sums lead to."""

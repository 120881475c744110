"""The fleet index: the components, findings and current verdicts of all images."""

"""The images with a vulnerability or a package, now or at a time in the past."""

"""The removal of images, rows and files that are no longer needed."""

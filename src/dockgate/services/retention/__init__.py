"""What nothing needs any more is removed: images, rows, files."""

"""Source to image: one file per builder (`core.ports.Builder`)."""

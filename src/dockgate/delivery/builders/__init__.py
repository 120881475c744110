"""Source to image: one file per builder (`core.adapters.Builder`)."""

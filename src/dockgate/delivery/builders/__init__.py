"""Source to image: one file per builder (`delivery.ports.Builder`)."""

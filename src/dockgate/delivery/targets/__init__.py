"""Where services run: one file per target (`core.adapters.Target`)."""

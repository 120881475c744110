"""Where services run: one file per target (`core.ports.Target`)."""

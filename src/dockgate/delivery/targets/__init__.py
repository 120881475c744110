"""Where services run: one file per target (`delivery.ports.Target`)."""

"""Where commits come from: one file per source (`delivery.ports.Source`)."""

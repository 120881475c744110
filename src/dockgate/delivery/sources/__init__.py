"""Where commits come from: one file per source (`core.adapters.Source`)."""

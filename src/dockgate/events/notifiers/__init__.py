"""Who is told what happened. One file per notifier (`core.adapters.Notifier`)."""

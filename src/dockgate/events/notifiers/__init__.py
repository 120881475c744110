"""Who is told what happened. One file per notifier (`events.ports.Notifier`)."""

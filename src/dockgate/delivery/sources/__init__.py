"""Sources of commits, one file each (`delivery.ports.Source`)."""

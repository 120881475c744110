"""Sources of commits, one file each (`delivery.source_ports.Source`)."""

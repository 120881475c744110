"""What layers and images hold, remembered on disk, and several layers read in parallel."""

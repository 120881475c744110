"""Cache what layers and images hold on disk, and read layers in parallel."""

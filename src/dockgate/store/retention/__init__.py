"""What nothing needs any more: how it is found and removed."""

"""What Dockgate means: pure functions and values. No I/O, no clock, no SQL, standard library only."""

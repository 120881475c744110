"""What the fuzzer and the process it watches tell each other."""

import struct

LEDGER = struct.Struct("=Qd")
"""Inputs so far, and the seconds of the slowest."""
MEMORY = 512 * 2**20
"""Bytes that a parser may take, whatever it is given."""

"""What the fuzzer and the process it watches tell each other."""

import struct

# Inputs so far, and the seconds of the slowest.
LEDGER = struct.Struct("=Qd")
# Bytes that a parser may take, whatever it is given.
MEMORY = 512 * 2**20

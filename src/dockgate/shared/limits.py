"""How much the server keeps on disk."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DiskLimits:
    """Bytes: of all artifacts, of the log of one action, and of all logs."""

    artifacts: int = 20 << 30
    log: int = 16 << 20
    logs: int = 2 << 30

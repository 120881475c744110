"""Findings that other scanners made, read as ours. A module of this package is a format: it holds one object named
`FORMAT` (`findings._format.Format`).
"""

"""Suffixes of Java archives, in a module of their own so that most scans do not load the readers."""

ARCHIVES = (".jar", ".war", ".ear", ".hpi", ".jpi", ".par", ".sar", ".nar", ".rar", ".kar", ".lpkg")
ZIP = ".zip"  # Java loads classes from a zip archive on the class path; most zip archives are something else
SUFFIXES = (*ARCHIVES, ZIP)

"""How the names of Java archives end. By itself, for a scan that meets no archive has no use for all the rest."""

ARCHIVES = (".jar", ".war", ".ear", ".hpi", ".jpi", ".par", ".sar", ".nar", ".rar", ".kar", ".lpkg")
ZIP = ".zip"
"""An archive that Java loads classes from as from a jar, if a class path names it; most are no such archives."""
SUFFIXES = (*ARCHIVES, ZIP)

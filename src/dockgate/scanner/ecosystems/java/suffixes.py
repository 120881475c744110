"""How the names of Java archives end. By itself, for a scan that meets no archive has no use for all the rest."""

ARCHIVES = (".jar", ".war", ".ear", ".hpi", ".jpi", ".par", ".sar", ".nar", ".rar", ".kar", ".lpkg")
# An archive that Java loads classes from as from a jar, if a class path names it; most are no such archives.
ZIP = ".zip"
SUFFIXES = (*ARCHIVES, ZIP)

"""How the names of Java archives end. By itself, for a scan that meets no archive has no use for all the rest."""

SUFFIXES = (".jar", ".war", ".ear", ".hpi", ".jpi", ".par", ".sar", ".nar", ".rar", ".kar", ".lpkg")

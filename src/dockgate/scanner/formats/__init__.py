"""Readers of the file formats that several ecosystems share: ELF, SQLite, TOML, XML, YAML, zip."""

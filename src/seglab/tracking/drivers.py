"""Databases other than SQLite need a driver, which is not among the requirements."""

from __future__ import annotations

# Packages by module; the other modules are called as their packages.
_PACKAGES = {"psycopg": "'psycopg[binary]'", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}


def driver_remedy(missing: ModuleNotFoundError) -> str:
    """What to do when a database's driver cannot be imported."""
    name = str(missing.name)
    return f"install the driver of this kind of database: pip install {_PACKAGES.get(name, name)}"

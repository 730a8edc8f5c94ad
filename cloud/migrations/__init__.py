"""How databases of older versions become those of this one: one file a step in `versions`, run when a cloud starts.

A step is never changed once released. To change the tables, change `cloud.store.schema` and add the next step; each
runs on SQLite and on PostgreSQL, inside one transaction with the others. There are no steps back: backups are for that.
"""

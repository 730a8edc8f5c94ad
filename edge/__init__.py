"""The edge daemon: takes jobs, makes witnesses, streams ordered chunks."""

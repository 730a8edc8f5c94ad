"""Who may put how much work into a daemon, and whose turn it is: what edge and cloud decide alike."""

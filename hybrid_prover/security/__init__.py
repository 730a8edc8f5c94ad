"""Who may do what on edges and clouds: certificates, tokens, rights, and the interceptor that holds every call to them.

Shared by both daemons, the client and the command line; imports neither daemon.
"""

"""What users import and run: the client SDK, the command line and the generated wire stubs."""

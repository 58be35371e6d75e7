"""Scripted doubles of the servers this project did not write: the plain protocol, nothing added."""

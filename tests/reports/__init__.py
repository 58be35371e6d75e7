"""Inputs that people report to projects of this kind, each with its right value."""

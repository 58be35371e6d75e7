"""The ways a caller comes in: what each transport is told, whose account it needs, who is really there."""

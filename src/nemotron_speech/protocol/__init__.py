"""Wire contracts as value machines: feed messages in, get events and messages out. Nothing here awaits."""

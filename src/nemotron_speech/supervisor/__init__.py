"""A set of servers, started, watched, restarted and stopped together."""

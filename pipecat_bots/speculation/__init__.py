"""Answers begun before the turn is over, which leave no trace if it was not."""

"""Output and records of a session: the page, its figures, its recording."""

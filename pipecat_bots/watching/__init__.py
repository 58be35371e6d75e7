"""What a session shows and keeps: the page, its figures, its recording."""

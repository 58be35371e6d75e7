"""Load and accuracy measurements of running servers: `nemotron bench`."""

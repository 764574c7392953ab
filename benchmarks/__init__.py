"""Speed and memory of ntkpipe, compared with other software."""
